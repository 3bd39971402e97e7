"""The table of transitions, on states of its own. How rows move along it is tested with rows: kyc/cases."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Any

import pytest
from django.db import models

from core.request_id import request_id
from core.states import By, TransitionTable, allow, move


class State(models.TextChoices):
    OPEN = "open"
    PAID = "paid"


class Event(StrEnum):
    PAY = "pay"
    PAY_BACK = "pay_back"
    REMIND = "remind"


class Who(StrEnum):
    BUYER = "buyer"
    SELLER = "seller"


TABLE = TransitionTable(
    State,
    allow(State.OPEN, Event.PAY, State.PAID, Who.BUYER),
    allow(State.OPEN, Event.REMIND, State.OPEN, Who.SELLER, Who.BUYER),
    allow(State.OPEN, Event.PAY_BACK, State.OPEN, Who.SELLER),
    allow(State.PAID, Event.PAY_BACK, State.OPEN, Who.SELLER),
)


def test_a_transition_is_found_by_state_and_event() -> None:
    found = TABLE.find("open", Event.PAY)
    assert found is not None
    assert found.target == State.PAID
    assert found.who == frozenset({Who.BUYER})
    assert TABLE.find(State.PAID, Event.PAY) is None


def test_only_who_is_named_may_cause_a_transition() -> None:
    assert TABLE.allowed("open", Event.PAY, By(Who.BUYER)) == TABLE.find("open", Event.PAY)
    assert TABLE.allowed("open", Event.PAY, By(Who.SELLER)) is None
    assert TABLE.allowed("paid", Event.PAY, By(Who.BUYER)) is None


def test_an_unknown_state_is_an_error() -> None:
    with pytest.raises(ValueError, match="lost"):
        TABLE.find("lost", Event.PAY)


def test_the_events_of_a_part_come_in_the_tables_order() -> None:
    assert TABLE.events_for("open", Who.BUYER) == [Event.PAY, Event.REMIND]
    assert TABLE.events_for("paid", Who.BUYER) == []


def test_a_state_and_an_event_have_one_outcome() -> None:
    with pytest.raises(ValueError, match="same state"):
        TransitionTable(State, *TABLE.rows, allow(State.OPEN, Event.PAY, State.OPEN, Who.SELLER))


def test_the_diagram_has_one_arrow_between_two_states() -> None:
    assert TABLE.diagram(State.OPEN) == "\n".join(
        [
            "stateDiagram-v2",
            "    [*] --> open",
            "    open --> paid: pay (buyer)",
            "    open --> open: remind (buyer, seller), pay back (seller)",
            "    paid --> open: pay back (seller)",
        ]
    )


class Row:
    """What `move` needs of a model's row, and of the related manager of its events."""

    def __init__(self) -> None:
        self.state, self.version, self.note = State.OPEN, 3, "old"
        self.saved: list[str] = []
        self.events: list[dict[str, Any]] = []

    def save(self, *, update_fields: Iterable[str]) -> None:
        self.saved = sorted(update_fields)

    def create(self, **fields: Any) -> None:
        self.events.append(fields)


def test_a_step_sets_and_saves_what_changes_and_appends_who_did_it() -> None:
    row, step = Row(), TABLE.find(State.OPEN, Event.PAY)
    assert step is not None
    token = request_id.set("request-0123456789")
    move(row, step, By(Who.BUYER, 7, "bank"), {"note": "new"}, row, reason_code="late")
    request_id.reset(token)
    assert (row.state, row.version, row.note) == (State.PAID, 4, "new")
    assert row.saved == ["note", "state", "version"]
    assert row.events == [
        {
            "event": Event.PAY,
            "from_state": State.OPEN,
            "to_state": State.PAID,
            "actor_id": 7,
            "provider": "bank",
            "request_id": "request-0123456789",
            "reason_code": "late",
        }
    ]
