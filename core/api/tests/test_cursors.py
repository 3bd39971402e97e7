"""Cursors: what was written is read, and nothing else."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from uuid import UUID, uuid4

import pytest

from core.api.cursors import LONGEST_CURSOR, WrongCursor, cursor_of, next_cursor, read_cursor


def test_a_position_is_read_as_it_was_written() -> None:
    position = uuid4()
    assert read_cursor("cases", cursor_of("cases", position), UUID) == position
    assert read_cursor("entries", cursor_of("entries", 17), int) == 17
    assert read_cursor("cases", None, UUID) is None


def encoded(text: str) -> str:
    return urlsafe_b64encode(text.encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "x",
        "no cursor",
        "\u0661" * 8,
        cursor_of("others", 1),
        encoded("{}"),
        encoded('["entries"]'),
        encoded('["entries",1]'),
        encoded('["entries","one"]'),
        encoded('["entries","1","2"]'),
        encoded("[" * 100),
        encoded('["entries","' + "9" * 5000 + '"]'),
        cursor_of("entries", "1") + "A" * LONGEST_CURSOR,
        "____",
    ],
)
def test_anything_else_is_refused(cursor: str) -> None:
    with pytest.raises(WrongCursor) as refused:
        read_cursor("entries", cursor, int)
    assert list(refused.value.fields) == ["cursor"]


def test_the_last_page_has_no_next_one() -> None:
    assert next_cursor("n", [9, 8], 2, int) is None
    assert next_cursor("n", [], 2, int) is None
    assert next_cursor("n", [9, 8, 7], 2, int) == cursor_of("n", 8)
