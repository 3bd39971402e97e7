"""Tests that docs/escrow.md shows the transition tables of the code, and its error codes."""

import re

from django.conf import settings

from escrow import errors
from escrow.states import MILESTONE_TRANSITIONS, TRANSITIONS, MilestoneState, State


def page() -> str:
    text: str = (settings.BASE_DIR / "docs" / "escrow.md").read_text()
    return text


def test_the_page_draws_the_states_as_they_are() -> None:
    drawn = re.findall(r"```mermaid\n(.*?)\n```", page(), re.DOTALL)
    assert drawn == [TRANSITIONS.diagram(State.DRAFT), MILESTONE_TRANSITIONS.diagram(MilestoneState.PENDING)]


def test_the_page_names_every_code_of_a_refusal() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    codes = {kind.code for kind in kinds if issubclass(kind, errors.EscrowError)}
    for_operators = {"not_allowed", "own_escrow", "reason_missing"}
    named = set(re.findall(r"`([a-z_]+)`", page()))
    assert codes - {"escrow_error", "wrong_input"} - for_operators <= named
