"""The table of transitions, on states of its own. How rows move along it is tested with rows: kyc/cases."""

from __future__ import annotations

from enum import StrEnum

import pytest
from django.db import models

from core.states import TransitionTable, allow


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
    allow(State.PAID, Event.PAY_BACK, State.OPEN, Who.SELLER),
)


def test_a_transition_is_found_by_state_and_event() -> None:
    found = TABLE.find("open", Event.PAY)
    assert found is not None
    assert found.target == State.PAID
    assert found.who == frozenset({Who.BUYER})
    assert TABLE.find(State.PAID, Event.PAY) is None


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
            "    open --> open: remind (buyer, seller)",
            "    paid --> open: pay back (seller)",
        ]
    )
