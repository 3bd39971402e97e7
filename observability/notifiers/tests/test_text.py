from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from observability.notifiers.tests.facts import hostile_text
from observability.notifiers.text import clean, fitted, utf16_length


@pytest.mark.parametrize(
    ("raw", "harmless"),
    [
        ("plain", "plain"),
        ("  around  ", "around"),
        ("two\r\nlines\rthree\N{PARAGRAPH SEPARATOR}four\x85five", "two\nlines\nthree\nfour\nfive"),
        ("tab\tand\N{NO-BREAK SPACE}space", "tab and space"),
        ("nul\0esc\x1b[31m", "nulesc[31m"),
        ("user\N{RIGHT-TO-LEFT OVERRIDE}gpj.exe", "usergpj.exe"),
        ("\N{LEFT-TO-RIGHT ISOLATE}a\N{POP DIRECTIONAL ISOLATE}\N{ARABIC LETTER MARK}", "a"),
        ("in\N{ZERO WIDTH SPACE}visi\N{SOFT HYPHEN}ble\N{ZERO WIDTH NO-BREAK SPACE}", "invisible"),
        ("varied\U000e0100 and tagged\U000e0041", "varied and tagged"),
        ("lone \ud800 surrogate", "lone \ufffd surrogate"),
        ("private \ue000 use", "private  use"),
        ("e" + "\N{COMBINING ACUTE ACCENT}" * 50 + "!", "e" + "\N{COMBINING ACUTE ACCENT}" * 4 + "!"),
        ("👩\N{ZERO WIDTH JOINER}👧 ❤\ufe0f مرحبا नमस्ते", "👩\N{ZERO WIDTH JOINER}👧 ❤\ufe0f مرحبا नमस्ते"),
    ],
)
def test_text_is_made_harmless(raw: str, harmless: str) -> None:
    assert clean(raw) == harmless


def test_text_that_fits_is_left_alone() -> None:
    assert fitted("x" * 100, 100) == "x" * 100


def test_cut_text_says_how_many_characters_are_missing() -> None:
    assert fitted("x" * 101, 100) == "x" * 77 + "… (24 more characters)"


def test_cut_in_a_small_place_is_only_marked() -> None:
    assert fitted("abcdefghijkl", 5) == "abcd…"


def test_text_on_one_line_has_single_spaces() -> None:
    assert fitted("a \n\n b\tc", 50, one_line=True) == "a b c"


def test_cut_does_not_part_an_accent_or_a_family() -> None:
    family = "👩\N{ZERO WIDTH JOINER}👩\N{ZERO WIDTH JOINER}👧"
    assert fitted("ab" + family + "cdef", 9) == "ab…"
    assert fitted("abe\N{COMBINING ACUTE ACCENT}cdef", 4) == "ab…"


def test_characters_beyond_the_basic_plane_count_twice() -> None:
    assert fitted("😀" * 6, 12) == "😀" * 6
    assert fitted("😀" * 7, 12) == "😀" * 5 + "…"


def test_beginning_of_invisible_text_is_not_taken_for_the_whole() -> None:
    assert fitted("\0" * 10_000 + "end", 100) == "… (9539 more characters)"


@given(hostile_text, st.integers(10, 4000))
def test_result_is_never_longer_than_its_limit(raw: str, limit: int) -> None:
    once = fitted(raw, limit)
    assert utf16_length(once) <= limit
    assert clean(once) == once
