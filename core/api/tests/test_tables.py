"""CSV: what a spreadsheet would run is text, and nothing is read before the client wants it."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from io import StringIO

import pytest

from core.api import tables
from core.api.tables import csv_response, safe_cell


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+1+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", " =1", "\n=1", "-2,5", "\uff1d1", "+5", "--1", "-"],
)
def test_a_formula_becomes_text(text: str) -> None:
    assert safe_cell(text) == f"'{text}"


@pytest.mark.parametrize("value", ["Logo", "a=b", "5", "-5", "-1250.50", 0, -7, None, "", "NGN 5", "\u0661"])
def test_anything_else_stays_as_it_is(value: object) -> None:
    assert safe_cell(value) == ("" if value is None else str(value))


def test_a_table_reads_as_it_was_written() -> None:
    rows = [("a,b", 'say "no"', -5), ("line\nbreak", "", "=x")]
    response = csv_response("t.csv", ("one", "two", "three"), rows)
    read = list(csv.reader(StringIO(b"".join(response).decode())))
    assert read == [
        ["one", "two", "three"],
        ["a,b", 'say "no"', "-5"],
        ["line\nbreak", "", "'=x"],
    ]
    assert response["Content-Disposition"] == 'attachment; filename="t.csv"'


def test_rows_are_asked_for_as_the_client_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "ROWS_AT_ONCE", 10)
    asked = 0

    def rows() -> Iterator[tuple[int]]:
        nonlocal asked
        for number in range(1000):
            asked += 1
            yield (number,)

    chunks = iter(csv_response("t.csv", ("number",), rows()))
    next(chunks)
    assert asked < 20
