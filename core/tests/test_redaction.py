from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.outgoing import redact

URL = "https://hooks.slack.com/services/T0/B0/pl4nt3d-s3cret"
KEY = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        (f"no such hook {URL}!", "no such hook [redacted]!"),
        (f"bad key {KEY.upper()}", "bad key [redacted]"),
        ("https%3A%2F%2Fhooks.slack.com%2Fservices%2FT0%2FB0%2Fpl4nt3d-s3cret", "[redacted]"),
        (
            '{"url": "https:\\/\\/hooks.slack.com\\/services\\/T0\\/B0\\/pl4nt3d-s3cret"}',
            '{"url": "[redacted]"}',
        ),
    ],
)
def test_secret_is_hidden_however_it_is_spelled(text: str, stored: str) -> None:
    assert redact(text, (URL, KEY)) == stored


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("Authorization: Bearer abc.def-ghi", "Authorization: Bearer [redacted]"),
        ("https://me:password@proxy.example/x", "https://[redacted]@proxy.example/x"),
        ("see https://hooks.slack.com/services/T/B/other", "see https://hooks.slack.com/[redacted]"),
        ("/enqueue?token=abcdef&x=1", "/enqueue?token=[redacted]&x=1"),
        ('{"routing_key": "someone-elses"}', '{"routing_key": "[redacted]"}'),
        ("xoxb-1234-abcd", "xoxb-[redacted]"),
    ],
)
def test_what_looks_like_a_secret_is_hidden_too(text: str, stored: str) -> None:
    assert redact(text, ()) == stored


@pytest.mark.parametrize(
    "text", ["ok", "invalid_token", "'routing_key' is invalid", '{"ok":false,"error":"rate_limited"}', ""]
)
def test_ordinary_answer_is_stored_as_it_is(text: str) -> None:
    assert redact(text, (URL, KEY, "")) == text


def test_long_answer_is_cut_at_two_thousand_characters() -> None:
    stored = redact("y" * 65_536, (URL,))
    assert stored == "y" * 1999 + "…"


def test_secret_at_the_cut_leaves_no_half() -> None:
    for length in range(1900, 2010):
        assert "pl4nt3d" not in redact("y" * length + URL, (URL,))


def test_secret_that_the_answer_breaks_off_in_leaves_no_half() -> None:
    for length in range(9, len(URL)):
        assert redact(f"gone: {URL[:length]}", (URL,)) == "gone: [redacted]"


def test_answer_can_be_stored_by_postgresql() -> None:
    assert redact("a\0b\ud800c", ()) == "ab?c"


@given(st.text(max_size=300), st.text(max_size=300))
def test_no_text_around_it_shows_a_secret(before: str, after: str) -> None:
    stored = redact(before + KEY + after, (KEY,))
    assert KEY not in stored
    assert "\0" not in stored
