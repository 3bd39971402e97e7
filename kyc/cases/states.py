"""The state machine of a KYC case. The admin's buttons and the tests are derived from the table."""

from __future__ import annotations

from enum import StrEnum

from core.states import TransitionTable, allow
from kyc.models.cases import State


class Who(StrEnum):
    PERSON = "person"  # the account holder
    REVIEWER = "reviewer"  # an operator with review_case, never the person
    CLAIMER = "claimer"  # the reviewer who has claimed it
    REVOKER = "revoker"  # an operator with revoke_case, never the person; may uphold as well
    PROVIDER = "provider"  # the provider that checks the case
    SYSTEM = "system"  # a periodic task


class Event(StrEnum):
    SUBMIT = "submit"
    RESUBMIT = "resubmit"
    WITHDRAW = "withdraw"
    CLAIM = "claim"
    RELEASE = "release"
    LAPSE = "lapse"
    APPROVE = "approve"
    REJECT = "reject"
    ASK_FOR_MORE = "ask_for_more"
    REVOKE = "revoke"
    DOUBT = "doubt"
    UPHOLD = "uphold"
    EXPIRE = "expire"


TRANSITIONS = TransitionTable(
    State,
    allow(State.DRAFT, Event.SUBMIT, State.SUBMITTED, Who.PERSON),
    allow(State.SUBMITTED, Event.WITHDRAW, State.DRAFT, Who.PERSON),
    allow(State.SUBMITTED, Event.CLAIM, State.IN_REVIEW, Who.REVIEWER),
    allow(State.SUBMITTED, Event.APPROVE, State.APPROVED, Who.PROVIDER),
    allow(State.SUBMITTED, Event.REJECT, State.REJECTED, Who.PROVIDER),
    allow(State.IN_REVIEW, Event.WITHDRAW, State.DRAFT, Who.PERSON),
    allow(State.IN_REVIEW, Event.RELEASE, State.SUBMITTED, Who.CLAIMER),
    allow(State.IN_REVIEW, Event.LAPSE, State.SUBMITTED, Who.SYSTEM),
    allow(State.IN_REVIEW, Event.APPROVE, State.APPROVED, Who.CLAIMER),
    allow(State.IN_REVIEW, Event.REJECT, State.REJECTED, Who.CLAIMER),
    allow(State.IN_REVIEW, Event.ASK_FOR_MORE, State.DRAFT, Who.CLAIMER),
    allow(State.REJECTED, Event.RESUBMIT, State.SUBMITTED, Who.PERSON),
    allow(State.APPROVED, Event.REVOKE, State.REVOKED, Who.REVOKER, Who.PROVIDER),
    allow(State.APPROVED, Event.DOUBT, State.APPROVED, Who.PROVIDER),
    allow(State.APPROVED, Event.UPHOLD, State.APPROVED, Who.REVOKER),
    allow(State.APPROVED, Event.EXPIRE, State.EXPIRED, Who.SYSTEM),
)
