"""Removes dangerous characters from text and shortens it, for any vendor. The vendor's escaping comes after
it.

Lengths are counted in UTF-16 units: by any way of counting that Slack or PagerDuty may use, a text is not
longer.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
ELLIPSIS = "…"
# Enough for any script and for emoji. More combining marks would be drawn over the lines around the text.
MOST_MARKS_IN_A_ROW = 4
# They join emoji and are needed in Persian. Every other invisible format character only hides or reverses
# text.
KEPT_INVISIBLE = "\N{ZERO WIDTH JOINER}\N{ZERO WIDTH NON-JOINER}"
ROOM_FOR_A_COUNT = 80

Width = Callable[[str], int]
WIDEST = 12  # no vendor's escaping makes more of a character: two \u escapes in JSON


class _Harmless(dict[int, str]):
    """A table for str.translate that computes the replacement of a character when it is first needed."""

    def __missing__(self, code: int) -> str:
        self[code] = harmless = _harmless(chr(code))
        return harmless


def _harmless(character: str) -> str:
    """Returns what replaces `character`: itself, a newline, a space, U+FFFD or nothing."""
    category = unicodedata.category(character)
    if character in "\n\v\f\r\x85" or category in ("Zl", "Zp"):
        return "\n"
    if character == "\t" or category == "Zs":
        return " "
    if category == "Cs":
        return REPLACEMENT
    if category == "Cf" and character in KEPT_INVISIBLE:
        return character
    if "\U000e0000" <= character <= "\U000e0fff":  # tags and variation selectors: invisible
        return ""
    # Controls, bidi overrides, zero-width, soft hyphens, private use, noncharacters.
    return "" if category in ("Cc", "Cf", "Cn", "Co") else character


_TABLE = _Harmless()


def clean(text: str) -> str:
    """Returns `text` without control characters, bidi overrides, invisible characters, lone surrogates, and
    without more than MOST_MARKS_IN_A_ROW accents in a row."""
    if text.isascii() and text.isprintable():
        return text.strip()
    cleaned = text.replace("\r\n", "\n").translate(_TABLE)
    return _thinned(cleaned).strip()


def _thinned(text: str) -> str:
    if text.isascii():
        return text
    kept: list[str] = []
    marks = 0
    for character in text:
        marks = marks + 1 if unicodedata.category(character) in ("Mn", "Me") else 0
        if marks <= MOST_MARKS_IN_A_ROW:
            kept.append(character)
    return "".join(kept)


def utf16_units(character: str) -> int:
    """Returns 1, or 2 for a character beyond the basic plane (a surrogate pair, which must not be cut)."""
    return 1 if character <= "\uffff" else 2


def utf16_length(text: str) -> int:
    """Returns the length of a text from `clean`: it must have no lone surrogates."""
    return len(text.encode("utf-16-le")) // 2


def width_of(text: str, width: Width = utf16_units) -> int:
    return sum(map(width, text))


def fitted(raw: str, limit: int, *, width: Width = utf16_units, one_line: bool = False) -> str:
    """Returns `raw` cleaned and cut off at `limit`.

    A cut is shown as "… (n more characters)", or as "…" where `limit` is small. `width` returns what one
    character takes after the vendor's escaping, so that no escape sequence is cut. Only the beginning of a
    very long text is read: the cost depends on `limit`, not on the length of the text.
    """
    head = raw[: 4 * limit + 64]
    unseen = len(raw) - len(head)
    text = " ".join(clean(head).split()) if one_line else clean(head)
    if not unseen and (len(text) * WIDEST <= limit or width_of(text[: limit + 1], width) <= limit):
        return text
    longest_suffix = _suffix(limit, len(raw))
    kept = text[: _whole_characters(text, limit - width_of(longest_suffix, width), width)].rstrip()
    return kept + _suffix(limit, len(text) - len(kept) + unseen)


def _suffix(limit: int, cut: int) -> str:
    return f"{ELLIPSIS} ({cut} more characters)" if limit >= ROOM_FOR_A_COUNT else ELLIPSIS


def _whole_characters(text: str, room: int, width: Width) -> int:
    """Returns how many characters fit in `room` without separating an accent or a joined emoji from its
    base."""
    used = 0
    for end, character in enumerate(text):
        used += width(character)
        if used > room:
            return _boundary_before(text, end)
    return len(text)


def _boundary_before(text: str, end: int) -> int:
    boundary = end
    while boundary > max(0, end - 16):
        if not _belongs_to_previous(text, boundary):
            return boundary
        boundary -= 1
    return end


def _belongs_to_previous(text: str, index: int) -> bool:
    return text[index] in KEPT_INVISIBLE or text[index - 1] in KEPT_INVISIBLE or _is_mark(text[index])


def _is_mark(character: str) -> bool:
    return unicodedata.category(character).startswith("M") or "\U0001f3fb" <= character <= "\U0001f3ff"
