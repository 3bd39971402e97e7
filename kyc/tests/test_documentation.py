"""Tests that docs/kyc.md shows the transition table of the code."""

import re

from django.conf import settings

from kyc.cases.states import TRANSITIONS
from kyc.document_types import described
from kyc.models import State


def page() -> str:
    text: str = (settings.BASE_DIR / "docs" / "kyc.md").read_text()
    return text


def test_the_page_draws_the_states_as_they_are() -> None:
    drawn = re.search(r"```mermaid\n(.*?)\n```", page(), re.DOTALL)
    assert drawn is not None
    assert drawn[1] == TRANSITIONS.diagram(State.DRAFT)


def test_the_page_lists_what_each_document_needs() -> None:
    assert described() in page()
