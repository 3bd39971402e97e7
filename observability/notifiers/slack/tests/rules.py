"""What Slack would refuse or misread, checked on a finished payload without the code that made it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

# The only things in angle brackets that Amani itself writes.
OUR_TAGS = re.compile(
    r"<(!date\^-?\d+\^\{date_short_pretty\} \{time_secs\}\|[\d: -]+UTC|https?://[!-;=?-{}~]+\|[A-Za-z ]+)>"
)
ENTITY = re.compile(r"&(amp|lt|gt);")
FORBIDDEN = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufffe\uffff"
    "\ud800-\udfff\U000e0000-\U000e0fff]"
)


def utf16(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def texts_in(part: Any) -> Iterator[dict[str, Any]]:
    if isinstance(part, dict):
        if part.get("type") in ("plain_text", "mrkdwn"):
            yield part
        for value in part.values():
            yield from texts_in(value)
    elif isinstance(part, list):
        for value in part:
            yield from texts_in(value)


def check(payload: dict[str, Any]) -> None:
    assert len(payload["blocks"]) <= 50
    assert utf16(json.dumps(payload, ensure_ascii=False)) <= 12_000
    assert payload["link_names"] is False
    assert 1 <= utf16(payload["text"]) <= 3000
    check_text(payload["text"], is_mrkdwn=True)
    for block in payload["blocks"]:
        check_block(block)
    for text in texts_in(payload["blocks"]):
        assert text.get("verbatim", False) is (text["type"] == "mrkdwn")
        check_text(text["text"], is_mrkdwn=text["type"] == "mrkdwn")


def check_block(block: dict[str, Any]) -> None:
    match block["type"]:
        case "header":
            assert block["text"]["type"] == "plain_text"
            assert 1 <= utf16(block["text"]["text"]) <= 150
        case "context":
            assert 1 <= len(block["elements"]) <= 10
        case "section" if "fields" in block:
            assert 1 <= len(block["fields"]) <= 10
            assert all(1 <= utf16(field["text"]) <= 2000 for field in block["fields"])
        case "section":
            assert 1 <= utf16(block["text"]["text"]) <= 3000
        case unknown:
            raise AssertionError(unknown)


def check_text(text: str, *, is_mrkdwn: bool) -> None:
    assert text.strip()
    assert not FORBIDDEN.search(text)
    bare = OUR_TAGS.sub("", text) if is_mrkdwn else text
    assert "<" not in bare
    assert ">" not in bare
    assert "&" not in ENTITY.sub("", bare), "an entity was cut"
    if is_mrkdwn:
        check_formatting(bare)


def check_formatting(text: str) -> None:
    """Outside code spans only plain names are bold; nothing else formats."""
    assert text.count("`") % 2 == 0
    for line in text.split("\n"):
        assert line.count("`") % 2 == 0
    outside = re.sub(r"`[^`\n]+`", "", text)
    assert "`" not in outside
    assert "~" not in outside
    assert "*" not in re.sub(r"\*[A-Za-z0-9_.-]+\*", "", outside)
