"""The one scrubber: what it hides, what survives, and that it never fails, repeats itself or takes long."""

from __future__ import annotations

import re
import threading
from collections import UserDict
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from importlib import import_module
from typing import Any
from uuid import UUID

import pytest
from django.utils.functional import SimpleLazyObject
from hypothesis import given
from hypothesis import strategies as st

from core.scrubbing import is_secret_name, names, numbers, pairs, scrub, scrub_text, texts
from core.scrubbing.texts import LONGEST, SUSPICIOUS, Scrubber, scrubber
from core.scrubbing.values import DEEPEST, LEFT_OUT, MOST_ITEMS
from core.tests.planted import PLANTED, found_in
from core.tests.scrubbed import (
    HARMLESS_NAMES,
    HARMLESS_TEXTS,
    HIDDEN_TEXTS,
    SECRET_NAMES,
    H,
)

# Private, but there is no other parser of Python's patterns. mypy found it only with an empty cache.
_parser: Any = import_module("re._parser")

# Beginnings, ends and middles of what the patterns know, to be glued together in any order.
PIECES = [
    *(text for text, _ in HIDDEN_TEXTS),
    *HARMLESS_TEXTS,
    *("password", "token=", "api key: ", "'pin': '", '"card_number": ', "Cookie: ", "Authorization: Bearer "),
    *("--secret ", "Key (email, b)=(", "x) already exists.", "4111 1111 1111 1111", "GB82WEST12345698765432"),
    *("0123456789", "+2348031234567", "(0)", "a@b.co", "%40", "%3D", "%22", "://u:p@", "hooks.slack.com/"),
    *("eyJhbGciOiJI.e", "sk_live_", "xoxb-", "-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----"),
    *("is ", "OTP ", "bvn", "account ", "number", "key", "phrase", "None", "Basic ", "bearer ", "LINE 1: "),
    *" \n\t'\"\\[]{}()<>,;:=/.-_+&7é“\u00a0İ\0\ud800",
    H,
]
glued = st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=12).map("".join)


@pytest.fixture
def fresh() -> Scrubber:
    """A scrubber that knows no configured secret."""
    return Scrubber()


@pytest.mark.parametrize(("text", "scrubbed"), HIDDEN_TEXTS)
def test_a_secret_in_free_text_is_hidden(text: str, scrubbed: str) -> None:
    assert scrub_text(text) == scrubbed


@pytest.mark.parametrize("text", HARMLESS_TEXTS)
def test_a_harmless_text_survives(text: str) -> None:
    assert scrub_text(text) == text


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_a_name_of_a_secret_is_known_in_data_and_in_text(name: str) -> None:
    assert scrub({name: "value-1"}) == {name: H}
    assert scrub_text(f"{name}=value-1") == f"{name}={H}"
    assert scrub_text(f'"{name}": "value-1"') == f'"{name}": "{H}"'


@pytest.mark.parametrize("name", HARMLESS_NAMES)
def test_a_name_that_only_looks_like_one_is_not(name: str) -> None:
    assert not is_secret_name(name)
    assert scrub({name: "value-1"}) == {name: "value-1"}
    assert scrub_text(f"{name}=value-1") == f"{name}=value-1"


@given(glued)
def test_scrubbing_twice_is_scrubbing_once(text: str) -> None:
    once = scrub_text(text)
    assert scrub_text(once) == once


@given(glued)
def test_a_text_that_is_waved_through_has_nothing_to_hide(text: str) -> None:
    if scrubber.is_unusual(text) is None or SUSPICIOUS.search(text) is None:
        assert Scrubber().scrub_once(text) == text


@given(glued, st.sampled_from(["hunter2-s3cret", "ünïque/secret+1"]), glued)
def test_no_text_around_a_configured_secret_shows_it(before: str, secret: str, after: str) -> None:
    knowing = Scrubber()
    knowing.learn([secret])
    assert secret.lower() not in knowing.scrub_text(f"{before} {secret} {after}").lower()


# --- Configured secrets ---


@pytest.mark.parametrize(
    "spelling",
    ['pl4nt/"d+ü', 'PL4NT/"D+ü', "pl4nt%2F%22d%2B%C3%BC", "pl4nt/%22d%2B%C3%BC", 'pl4nt\\/\\"d+\\u00fc'],
)
def test_a_configured_secret_is_hidden_in_every_usual_spelling(fresh: Scrubber, spelling: str) -> None:
    fresh.learn(['pl4nt/"d+ü'])
    assert fresh.scrub_text(f"before {spelling} after") == f"before {H} after"
    assert fresh.scrub_text(spelling) == H


def test_a_configured_secret_that_is_a_word_is_not_hidden_everywhere(fresh: Scrubber) -> None:
    fresh.learn(["amani", "postgres", "", "x7"])
    assert fresh.scrub_text("amani uses postgres and x7") == "amani uses postgres and x7"


def test_a_secret_that_is_configured_later_is_hidden_in_texts_seen_before(fresh: Scrubber) -> None:
    assert fresh.scrub_text("before pl4nt3d-word after") == "before pl4nt3d-word after"
    fresh.learn(["pl4nt3d-word"])
    assert fresh.scrub_text("before pl4nt3d-word after") == f"before {H} after"


# --- Bounds ---


def test_of_a_long_text_the_beginning_and_the_end_are_kept() -> None:
    text = "begin " + "password=hunter2 " * 10_000 + "end"
    scrubbed = scrub_text(text)
    assert scrubbed.startswith(f"begin password={H} ")
    assert scrubbed.endswith(f" password={H} end")
    assert "hunter2" not in scrubbed
    assert " characters left out …" in scrubbed
    assert len(scrubbed) < LONGEST
    assert scrub_text(scrubbed) == scrubbed


def test_a_secret_at_the_cut_leaves_no_half() -> None:
    for before in range(7_980, 8_005):
        scrubbed = scrub_text("x " * (before // 2) + "4111 1111 1111 1111 " + "y " * 40_000)
        assert "1111 1111" not in scrubbed


def test_a_long_text_without_spaces_is_cut_too() -> None:
    assert scrub_text("y" * 100_000) == "y" * 8_000 + " … 92000 characters left out … "


def everything(parsed: Any) -> Iterator[tuple[Any, Any]]:
    """Each operation of a parsed pattern, however deep."""
    for operation, argument in parsed:
        yield operation, argument
        for part in parts_of(argument):
            yield from everything(part)


def parts_of(argument: Any) -> Iterator[Any]:
    if isinstance(argument, _parser.SubPattern):
        yield argument
    elif isinstance(argument, tuple | list):
        for part in argument:
            yield from parts_of(part)


def all_patterns() -> list[re.Pattern[str]]:
    modules = (names, numbers, pairs, texts)
    found = [value for module in modules for value in vars(module).values() if isinstance(value, re.Pattern)]
    return [*found, *(pattern for pattern, _ in texts.PATTERNS)]


@pytest.mark.parametrize("pattern", all_patterns(), ids=lambda pattern: pattern.pattern[:40])
def test_no_pattern_repeats_without_end_what_repeats_without_end(pattern: re.Pattern[str]) -> None:
    """The shape that takes exponential time, unless the inner repetition never gives back (possessive)."""
    for operation, argument in everything(_parser.parse(pattern.pattern, pattern.flags)):
        if operation is _parser.MAX_REPEAT and argument[1] is _parser.MAXREPEAT:
            inner = [name for name, part in everything(argument[2]) if unbounded(name, part)]
            assert inner == []


def unbounded(operation: Any, argument: Any) -> bool:
    return operation in {_parser.MAX_REPEAT, _parser.MIN_REPEAT} and argument[1] is _parser.MAXREPEAT


# --- Data ---


def test_data_is_scrubbed_by_its_keys_and_by_its_texts() -> None:
    assert scrub(
        {
            "user": {"name": "Amy", "password": "hunter2", "roles": ["admin", "amy@example.com"]},
            "headers": [["Cookie", "a=b"], ("X-Api-Key", "abc"), [b"authorization", b"x"]],
            "fields": [{"name": "pin", "value": 1234}, {"name": "city", "value": "Lagos"}],
            "numbers": ("4111 1111 1111 1111", 4111111111111111),
            b"token": b"abc",
            "sk_live_abcdefgh": b"Bearer abcdefghi",
        }
    ) == {
        "user": {"name": "Amy", "password": H, "roles": ["admin", H]},
        "headers": [["Cookie", H], ("X-Api-Key", H), ["authorization", H]],
        "fields": [{"name": "pin", "value": H}, {"name": "city", "value": "Lagos"}],
        "numbers": (H, 4111111111111111),
        "token": H,
        f"sk_live_{H}": f"Bearer {H}",
    }


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        1700000000,
        22123456789,
        1.5,
        Decimal("5000000000"),
        datetime(2024, 5, 1, tzinfo=UTC),
        UUID("12345678-4111-1111-1111-111111111111"),
    ],
)
def test_numbers_times_and_ids_stay_unless_their_key_names_a_secret(value: Any) -> None:
    assert scrub(value) is value
    assert scrub({"amount": value}) == {"amount": value}
    assert scrub(value, "pin") == (value if value in {None, True} else H)


def test_what_is_not_there_is_not_hidden() -> None:
    assert scrub({"password": "", "token": None, "pin": False}) == {
        "password": "",
        "token": None,
        "pin": False,
    }


def test_a_trace_id_is_no_card() -> None:
    assert scrub({"span_id": "4111111111111111"}) == {"span_id": "4111111111111111"}
    assert scrub({"other_id": "4111111111111111"}) == {"other_id": H}
    assert scrub({"span_id": "amy@example.com"}) == {"span_id": H}


class Odd:
    def __repr__(self) -> str:
        raise RuntimeError("no")


class Wrapped:
    def __repr__(self) -> str:
        return "<Wrapped password='hunter2'>"


class Broken(UserDict[str, str]):
    def items(self) -> Any:
        raise RuntimeError("no")


def unevaluated() -> str:
    raise AssertionError("a lazy object was evaluated, which may cost a query")


@pytest.mark.parametrize(
    ("value", "scrubbed"),
    [
        (Odd(), "<Odd>"),
        (Wrapped(), f"<Wrapped password='{H}'>"),
        (Broken(), "<Broken>"),
        (ValueError("password=hunter2"), f"ValueError('password={H}')"),
        (b"\xff password=x", f"\\xff password={H}"),
        (bytearray(b"pin=1"), f"pin={H}"),
        ("\ud800 pin=1", f"\ud800 pin={H}"),
        ({"amy@example.com"}, [H]),
        (UserDict({"pin": 1}), {"pin": H}),
    ],
)
def test_odd_values_become_text_and_nothing_is_raised(value: Any, scrubbed: Any) -> None:
    assert scrub(value) == scrubbed


def test_a_lazy_object_is_not_evaluated() -> None:
    assert scrub(SimpleLazyObject(unevaluated)).startswith("<SimpleLazyObject: <function unevaluated")


def test_a_cycle_ends() -> None:
    cycle: dict[str, Any] = {"pin": 1}
    cycle["again"] = cycle
    cycle["list"] = [cycle, cycle]
    assert scrub({"a": cycle})["a"]["again"]["again"]["pin"] == H


def test_depth_and_size_are_bounded() -> None:
    deep: Any = "pin=1"
    for _ in range(5_000):
        deep = [deep]
    for _ in range(DEEPEST):
        deep = scrub(deep)[0]
    assert deep == LEFT_OUT
    assert scrub(["x"] * 10_000) == ["x"] * (MOST_ITEMS - 1) + [LEFT_OUT]
    assert len(scrub(dict.fromkeys(range(10_000), "x"))) == MOST_ITEMS


def test_a_dictionary_that_another_thread_changes_does_no_harm() -> None:
    shared: dict[int, str] = {}
    stop = threading.Event()

    def change() -> None:
        while not stop.is_set():
            shared[len(shared) % 300] = "amy@example.com"
            if len(shared) >= 300:
                shared.clear()

    thread = threading.Thread(target=change)
    thread.start()
    seen = [scrub({"shared": shared})["shared"] for _ in range(300)]
    stop.set()
    thread.join()
    assert "amy@example.com" not in str(seen)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | glued | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(glued, inner, max_size=4),
    max_leaves=12,
)


@given(anything)
def test_scrubbing_data_twice_is_scrubbing_it_once(value: Any) -> None:
    once = scrub(value)
    assert scrub(once) == once


# --- The secrets that other tests plant ---


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_secret_is_found_by_its_form_or_by_its_key(name: str) -> None:
    planted = PLANTED[name]
    by_form = found_in(scrub_text(planted.text).encode(), planted.value) == []
    by_key = found_in(str(scrub({"password": planted.value})).encode(), planted.value) == []
    assert planted.mark in scrub_text(planted.text)
    assert by_form or by_key
