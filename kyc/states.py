"""The life of a KYC case, as data: the admin draws its buttons from it, and tests iterate over it."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from kyc.models.cases import State


class Who(StrEnum):
    PERSON = "person"  # whose case it is
    REVIEWER = "reviewer"  # an operator with review_case, never the person
    CLAIMER = "claimer"  # the reviewer who has claimed it
    REVOKER = "revoker"  # an operator with revoke_case, never the person; may uphold as well
    PROVIDER = "provider"  # the provider that was asked
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


class Transition(NamedTuple):
    source: State
    event: Event
    target: State
    who: frozenset[Who]


def allow(source: State, event: Event, target: State, *who: Who) -> Transition:
    return Transition(source, event, target, frozenset(who))


TRANSITIONS = (
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
BY_STATE_AND_EVENT = {(row.source, row.event): row for row in TRANSITIONS}


def find(source: State | str, event: Event) -> Transition | None:
    """The transition that `event` causes in `source`; None when the table has none."""
    return BY_STATE_AND_EVENT.get((State(source), event))


def events_for(source: State | str, who: Who) -> list[Event]:
    """What `who` may do to a case in that state, in the table's order."""
    return [row.event for row in TRANSITIONS if row.source == source and who in row.who]


def diagram() -> str:
    """The table as a Mermaid diagram, for docs/kyc.md. Steps between the same two states share an arrow."""
    arrows: dict[tuple[State, State], list[str]] = {}
    for row in TRANSITIONS:
        who = ", ".join(sorted(row.who))
        arrows.setdefault((row.source, row.target), []).append(f"{row.event.replace('_', ' ')} ({who})")
    lines = [f"    {source} --> {target}: {', '.join(steps)}" for (source, target), steps in arrows.items()]
    return "\n".join(["stateDiagram-v2", "    [*] --> draft", *lines])
