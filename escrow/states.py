"""The state machines of an escrow and of its milestones, as tables.

Services ask the tables, the triggers of the models are generated from them, docs/escrow.md draws them, and
tests iterate over them. This module imports no model, because the models import it.
"""

from __future__ import annotations

from enum import StrEnum

from django.db import models

from core.states import TransitionTable, allow


class State(models.TextChoices):
    """The states of an escrow. The last four are ends, and derived from the milestones."""

    DRAFT = "draft"
    PROPOSED = "proposed"
    AGREED = "agreed", "agreed by both"
    AWAITING_FUNDS = "awaiting_funds", "awaiting funds"
    FUNDED = "funded"
    IN_PROGRESS = "in_progress", "in progress"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    REFUNDED = "refunded"
    CLOSED_MIXED = "closed_mixed", "closed with mixed outcome"


class MilestoneState(models.TextChoices):
    PENDING = "pending", "not funded yet"
    FUNDED = "funded"
    SUBMITTED = "submitted"
    RELEASE_REQUESTED = "release_requested", "release requested"
    DISPUTED = "disputed"  # no transition leads here yet
    RESOLVED = "resolved"  # likewise
    RELEASED = "released"
    REFUNDED = "refunded"
    CANCELLED = "cancelled"


ENDS = (State.COMPLETED, State.CANCELLED, State.REFUNDED, State.CLOSED_MIXED)
OPEN = tuple(state for state in State if state not in ENDS)
NEGOTIATED = (State.DRAFT, State.PROPOSED)  # terms may change, a party may be missing
HOLDS_ALL = (State.FUNDED, State.IN_PROGRESS)  # everything that is due has arrived
EXPIRING = (*NEGOTIATED, State.AWAITING_FUNDS)
FREEZABLE = (State.AWAITING_FUNDS, *HOLDS_ALL)
MILESTONE_ENDS = (
    MilestoneState.RESOLVED,
    MilestoneState.RELEASED,
    MilestoneState.REFUNDED,
    MilestoneState.CANCELLED,
)
TIMED = (MilestoneState.SUBMITTED, MilestoneState.RELEASE_REQUESTED)  # the sweep releases them when due


class Who(StrEnum):
    """The parts in which a step is caused. A party has two: one of the first two, and buyer or seller."""

    PROPOSER = "proposer"  # the party who made the current terms
    ANSWERER = "answerer"  # the other party, who answers them
    BUYER = "buyer"
    SELLER = "seller"
    OPERATOR = "operator"  # with freeze_escrow, never a party
    PROVIDER = "provider"  # money arrived, or was taken back
    SYSTEM = "system"  # a periodic task, or a step that follows from another one


class Event(StrEnum):
    REWRITE = "rewrite"
    PROPOSE = "propose"
    COUNTER_PROPOSE = "counter_propose"
    JOIN = "join"
    AGREE = "agree"
    AWAIT_FUNDS = "await_funds"
    RECEIVE_PART = "receive_part"
    FUND = "fund"
    BEGIN = "begin"
    ASK_CANCEL = "ask_cancel"
    KEEP = "keep"
    FREEZE = "freeze"
    UNFREEZE = "unfreeze"
    TAKE_BACK = "take_back"  # a payment that had arrived; freezes it
    MAKE_GOOD = "make_good"  # what was taken back is paid in again
    END_SHORT = "end_short"  # it is not: what is held is divided, and the milestones end
    EXPIRE = "expire"
    COMPLETE = "complete"
    CANCEL = "cancel"
    REFUND = "refund"
    CLOSE = "close"


class MilestoneStep(StrEnum):
    """The events of a milestone."""

    FUND = "fund"
    SUBMIT = "submit"
    REJECT = "reject"
    RELEASE_PART = "release_part"
    APPROVE = "approve"
    AWARD = "award"  # an operator ends a short escrow, and this one can be released whole
    FALL_DUE = "fall_due"
    RELEASE = "release"
    REFUND = "refund"
    CANCEL = "cancel"
    END_SHORT = "end_short"  # as far as the money of a short escrow goes


PARTIES = (Who.BUYER, Who.SELLER)

TRANSITIONS = TransitionTable(
    State,
    allow(State.DRAFT, Event.REWRITE, State.DRAFT, Who.PROPOSER),
    allow(State.DRAFT, Event.PROPOSE, State.PROPOSED, Who.PROPOSER),
    allow(State.DRAFT, Event.CANCEL, State.CANCELLED, Who.PROPOSER),
    allow(State.DRAFT, Event.EXPIRE, State.CANCELLED, Who.SYSTEM),
    allow(State.PROPOSED, Event.JOIN, State.PROPOSED, Who.ANSWERER),
    allow(State.PROPOSED, Event.COUNTER_PROPOSE, State.PROPOSED, Who.PROPOSER, Who.ANSWERER),
    allow(State.PROPOSED, Event.AGREE, State.AGREED, Who.ANSWERER),
    allow(State.PROPOSED, Event.CANCEL, State.CANCELLED, Who.PROPOSER, Who.ANSWERER),
    allow(State.PROPOSED, Event.EXPIRE, State.CANCELLED, Who.SYSTEM),
    allow(State.AGREED, Event.AWAIT_FUNDS, State.AWAITING_FUNDS, Who.SYSTEM),
    allow(State.AWAITING_FUNDS, Event.RECEIVE_PART, State.AWAITING_FUNDS, Who.PROVIDER),
    allow(State.AWAITING_FUNDS, Event.FUND, State.FUNDED, Who.PROVIDER),
    allow(State.AWAITING_FUNDS, Event.CANCEL, State.CANCELLED, *PARTIES),
    allow(State.AWAITING_FUNDS, Event.EXPIRE, State.CANCELLED, Who.SYSTEM),
    *(
        row
        for state in FREEZABLE
        for row in (
            allow(state, Event.FREEZE, state, Who.OPERATOR),
            allow(state, Event.UNFREEZE, state, Who.OPERATOR),
            allow(state, Event.TAKE_BACK, state, Who.PROVIDER),
        )
    ),
    *(
        row
        for state in HOLDS_ALL
        for row in (
            allow(state, Event.ASK_CANCEL, state, *PARTIES),
            allow(state, Event.KEEP, state, *PARTIES),
            allow(state, Event.MAKE_GOOD, state, Who.PROVIDER),
            allow(state, Event.END_SHORT, state, Who.OPERATOR),
        )
    ),
    # What the milestones lead to; no person and no task causes these by itself.
    allow(State.FUNDED, Event.BEGIN, State.IN_PROGRESS, Who.SYSTEM),
    *(
        row
        for state in HOLDS_ALL
        for row in (
            allow(state, Event.COMPLETE, State.COMPLETED, Who.SYSTEM),
            allow(state, Event.CANCEL, State.CANCELLED, Who.SYSTEM),
            allow(state, Event.REFUND, State.REFUNDED, Who.SYSTEM),
            allow(state, Event.CLOSE, State.CLOSED_MIXED, Who.SYSTEM),
        )
    ),
)

HELD = (MilestoneState.FUNDED, MilestoneState.SUBMITTED, MilestoneState.RELEASE_REQUESTED)

MILESTONE_TRANSITIONS = TransitionTable(
    MilestoneState,
    allow(MilestoneState.PENDING, MilestoneStep.FUND, MilestoneState.FUNDED, Who.PROVIDER),
    allow(MilestoneState.PENDING, MilestoneStep.CANCEL, MilestoneState.CANCELLED, *PARTIES, Who.SYSTEM),
    allow(MilestoneState.FUNDED, MilestoneStep.SUBMIT, MilestoneState.SUBMITTED, Who.SELLER),
    allow(MilestoneState.SUBMITTED, MilestoneStep.REJECT, MilestoneState.FUNDED, Who.BUYER),
    allow(MilestoneState.FUNDED, MilestoneStep.RELEASE_PART, MilestoneState.FUNDED, Who.BUYER),
    allow(MilestoneState.SUBMITTED, MilestoneStep.RELEASE_PART, MilestoneState.SUBMITTED, Who.BUYER),
    allow(MilestoneState.FUNDED, MilestoneStep.APPROVE, MilestoneState.RELEASE_REQUESTED, Who.BUYER),
    allow(MilestoneState.SUBMITTED, MilestoneStep.APPROVE, MilestoneState.RELEASE_REQUESTED, Who.BUYER),
    allow(MilestoneState.SUBMITTED, MilestoneStep.FALL_DUE, MilestoneState.RELEASE_REQUESTED, Who.SYSTEM),
    allow(MilestoneState.RELEASE_REQUESTED, MilestoneStep.RELEASE, MilestoneState.RELEASED, Who.SYSTEM),
    allow(MilestoneState.FUNDED, MilestoneStep.REFUND, MilestoneState.REFUNDED, Who.SELLER),
    allow(MilestoneState.SUBMITTED, MilestoneStep.REFUND, MilestoneState.REFUNDED, Who.SELLER),
    allow(MilestoneState.RELEASE_REQUESTED, MilestoneStep.REFUND, MilestoneState.REFUNDED, Who.SELLER),
    allow(MilestoneState.FUNDED, MilestoneStep.CANCEL, MilestoneState.CANCELLED, *PARTIES),
    allow(MilestoneState.SUBMITTED, MilestoneStep.CANCEL, MilestoneState.CANCELLED, *PARTIES),
    allow(MilestoneState.FUNDED, MilestoneStep.AWARD, MilestoneState.RELEASE_REQUESTED, Who.OPERATOR),
    allow(MilestoneState.SUBMITTED, MilestoneStep.AWARD, MilestoneState.RELEASE_REQUESTED, Who.OPERATOR),
    *(allow(state, MilestoneStep.END_SHORT, MilestoneState.CANCELLED, Who.OPERATOR) for state in HELD),
)
