"""The search for planted secrets finds them, however they are spelled."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote, quote_plus

import pytest

from core.tests.planted import PLANTED, found_in


@pytest.mark.parametrize("name", PLANTED)
def test_a_secret_is_found_in_every_usual_spelling(name: str) -> None:
    value = PLANTED[name].value
    said = [f"before {value} after", json.dumps({"x": value}), json.dumps(json.dumps([value]))]
    said += [f"?x={quote(value)}&y", f"?x={quote(value, safe='')}", f"?x={quote_plus(value)}", repr([value])]
    said += [base64.b64encode(f"{before}{value}".encode()).decode() for before in ("", "a", "ab", "abc")]
    assert [spelled for spelled in said if not found_in(spelled.encode(), value)] == []


def test_no_secret_is_found_where_there_are_only_marks() -> None:
    marks = " ".join(planted.mark for planted in PLANTED.values()).encode()
    assert [name for name, planted in PLANTED.items() if found_in(marks, planted.value)] == []


def test_there_are_at_least_thirty_different_secrets() -> None:
    assert len({planted.value for planted in PLANTED.values()}) == len(PLANTED) >= 30
