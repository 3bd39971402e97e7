"""Slack's Block Kit, within its limits (contract: "Reference: blocks" and "Formatting message text").

Text from outside is `plain_text` wherever that will do: Slack formats nothing in it. Where it must be
mrkdwn it is inside a code span or made of characters that format nothing, and `verbatim` keeps Slack from
linking bare words.
"""

from __future__ import annotations

import json
import re
from typing import Any

from observability.notifiers.links import safe_url
from observability.notifiers.text import fitted, utf16_length, utf16_units

Block = dict[str, Any]

HEADER_LIMIT = 150
SECTION_LIMIT = 3000
FIELD_LIMIT = 2000
MOST_FIELDS = 10
MOST_BLOCKS = 50
# Slack refuses messages somewhere above 13,200 characters without documenting it (slackapi/bolt-js#2509).
MESSAGE_LIMIT = 12_000

ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_ESCAPES = str.maketrans(ENTITIES)
# Look-alikes: the real ones would end the bold or the code span that they stand in.
_LOOKALIKES = str.maketrans(
    {"`": "\N{MODIFIER LETTER GRAVE ACCENT}", "*": "\N{ASTERISK OPERATOR}", "~": "\N{TILDE OPERATOR}"}
)
_NAME = re.compile(r"[A-Za-z0-9](?:[\w.-]*[A-Za-z0-9])?", re.ASCII)


def escaped_width(character: str) -> int:
    return len(ENTITIES[character]) if character in ENTITIES else utf16_units(character)


def escaped(raw: str, limit: int, *, one_line: bool = False) -> str:
    """For plain text: no tag, mention or link can come of it; at most `limit` wide as sent."""
    return fitted(raw, limit, width=escaped_width, one_line=one_line).translate(_ESCAPES)


def inert(raw: str, limit: int) -> str:
    """For mrkdwn: one line that can neither end a code span nor begin bold, code or strike-through."""
    return escaped(raw, limit, one_line=True).translate(_LOOKALIKES)


def code(raw: str, limit: int) -> str:
    return f"`{inert(raw, limit - 2) or '(empty)'}`"


def bold(raw: str, limit: int) -> str:
    """Bold for ordinary names; code for whatever else calls itself a name."""
    return f"*{raw}*" if len(raw) <= limit - 2 and _NAME.fullmatch(raw) else code(raw, limit)


def link(url: str, text: str, longest: int = SECTION_LIMIT) -> str:
    """A mrkdwn link with our own words, or "" when the address must not be one."""
    address = safe_url(url, longest).translate(_ESCAPES)
    return f"<{address}|{text}>" if address and len(address) + len(text) + 3 <= longest else ""


def plain(raw: str, limit: int) -> Block:
    return {"type": "plain_text", "text": escaped(raw, limit), "emoji": False}


def mrkdwn(text: str) -> Block:
    """`text` is finished mrkdwn: whatever came from outside is in it through code(), bold() or link()."""
    return {"type": "mrkdwn", "text": text, "verbatim": True}


def header(raw: str) -> Block:
    text = {"type": "plain_text", "text": escaped(raw, HEADER_LIMIT, one_line=True), "emoji": False}
    return {"type": "header", "text": text}


def section(text: Block) -> Block:
    return {"type": "section", "text": text}


def fields(texts: list[Block]) -> Block:
    return {"type": "section", "fields": texts}


def context(elements: list[Block]) -> Block:
    return {"type": "context", "elements": elements}


def payload(text: str, blocks: list[Block]) -> dict[str, Any]:
    """The whole message. `text` is what notifications and screen readers show."""
    return {"text": text, "blocks": blocks, "link_names": False, "unfurl_links": False, "unfurl_media": False}


def size(message: dict[str, Any]) -> int:
    """More than Slack can count: the JSON, not only its texts."""
    return utf16_length(json.dumps(message, ensure_ascii=False))
