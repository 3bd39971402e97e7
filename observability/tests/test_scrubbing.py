"""The one scrubber: what it hides and what survives it."""

from __future__ import annotations

import pytest

from observability.scrubbing import scrub_text

H = "[redacted]"


@pytest.mark.parametrize(
    ("text", "scrubbed"),
    [
        ("password=hunter2", f"password={H}"),
        ('{"apiKey": "abc", "x": 1}', f'{{"apiKey": "{H}", "x": 1}}'),
        ("{'Authorization': 'Bearer abc.def', 'a': 'b'}", f"{{'Authorization': '{H}', 'a': 'b'}}"),
        ("Authorization: Bearer abc.def-ghi", f"Authorization: Bearer {H}"),
        ("Cookie: sessionid=abc; csrftoken=d", f"Cookie: {H}"),
        ("redis://:pw@host:6379/0", f"redis://{H}@host:6379/0"),
        ("card 4111 1111 1111 1111 declined", f"card {H} declined"),
        ("to GB82 WEST 1234 5698 7654 32 IS OK", f"to {H} IS OK"),
        ("account 0123456789.", f"account {H}."),
        ("jane@example.com rang from 0803-123-4567", f"{H} rang from {H}"),
    ],
)
def test_a_secret_in_free_text_is_hidden(text: str, scrubbed: str) -> None:
    assert scrub_text(text) == scrubbed


@pytest.mark.parametrize(
    "text",
    [
        "at 2024-05-01 12:30:45.123456 id 550e8400-e29b-41d4-a716-446655440000 took 12345 ms",
        "author: Jane, tokenizer: bpe, pinned: yes, nine: 3",
        "ORD-0123456789 at 1700000000.25 with v1.2.3",
    ],
)
def test_a_harmless_text_survives(text: str) -> None:
    assert scrub_text(text) == text
