"""Pages of long lists: an opaque cursor says after which row the next page begins (keyset pagination).

A page costs the same at any depth, and rows that are added meanwhile shift nothing. How an app uses it:

    position = read_cursor("cases", cursor, UUID)      # None without a cursor, WrongCursor for another list's
    rows = list(after(position)[: limit + 1])
    return CasePage(items=..., next=next_cursor("cases", rows, limit, lambda row: row.public_id))

A cursor is not secret and not signed: put only values into it that the caller sees anyway, and look for the
rows among those that the caller may see.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from core.errors import Invalid

LONGEST_CURSOR = 200  # characters

Row = TypeVar("Row")
Position = TypeVar("Position")


class WrongCursor(Invalid):
    code = "wrong_cursor"

    def __init__(self) -> None:
        why = "Send the value of `next` from the page before, of the same list, as it is."
        super().__init__("The cursor belongs to no page of this list.", fields={"cursor": [why]})


def cursor_of(name: str, position: object) -> str:
    """Returns the cursor of the list `name` behind the row at `position`, which `str` must show in full."""
    text = json.dumps([name, str(position)], separators=(",", ":"))
    return urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_cursor(name: str, cursor: str | None, kind: Callable[[str], Position]) -> Position | None:
    """Returns the position that `cursor_of` was given, made by `kind`; None for None. Raises WrongCursor."""
    if cursor is None:
        return None
    try:
        found = json.loads(urlsafe_b64decode(padded(cursor)))
        of_list, position = found
        if of_list != name or not isinstance(position, str):
            raise WrongCursor
        return kind(position)
    except (ValueError, TypeError, RecursionError) as error:
        raise WrongCursor from error


def padded(cursor: str) -> bytes:
    """Returns the cursor with the `=` that Base64 wants. Raises WrongCursor for other characters."""
    if len(cursor) > LONGEST_CURSOR or not cursor.isascii():
        raise WrongCursor
    return f"{cursor}{'=' * (-len(cursor) % 4)}".encode()


def next_cursor(name: str, rows: Sequence[Row], limit: int, position_of: Callable[[Row], Any]) -> str | None:
    """Returns the cursor behind the first `limit` rows, None if there are no more than these."""
    return cursor_of(name, position_of(rows[limit - 1])) if len(rows) > limit else None
