"""Builds blocks of Slack's Block Kit within its limits.

Source: Slack's "Reference: blocks" and "Formatting message text". Text from outside is `plain_text` where
possible: Slack formats nothing in it. Where it must be mrkdwn, it is inside a code span or has only
characters that format nothing, and `verbatim` stops Slack from turning words into links.
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
# Similar characters: the real ones would end the bold text or the code span around them.
_LOOKALIKES = str.maketrans(
    {"`": "\N{MODIFIER LETTER GRAVE ACCENT}", "*": "\N{ASTERISK OPERATOR}", "~": "\N{TILDE OPERATOR}"}
)
_NAME = re.compile(r"[A-Za-z0-9](?:[\w.-]*[A-Za-z0-9])?", re.ASCII)


def escaped_width(character: str) -> int:
    """Returns how many UTF-16 units a character takes after escaping."""
    return len(ENTITIES[character]) if character in ENTITIES else utf16_units(character)


def escaped(raw: str, limit: int, *, one_line: bool = False) -> str:
    """Returns `raw` escaped for plain text: it can contain no tag, mention or link. At most `limit` units as
    sent."""
    return fitted(raw, limit, width=escaped_width, one_line=one_line).translate(_ESCAPES)


def inert(raw: str, limit: int) -> str:
    """Returns `raw` as one line for mrkdwn that can neither end a code span nor begin any formatting."""
    return escaped(raw, limit, one_line=True).translate(_LOOKALIKES)


def code(raw: str, limit: int) -> str:
    """Returns `raw` in a code span of at most `limit` units."""
    return f"`{inert(raw, limit - 2) or '(empty)'}`"


def bold(raw: str, limit: int) -> str:
    """Returns an ordinary name in bold, and any other text in a code span."""
    return f"*{raw}*" if len(raw) <= limit - 2 and _NAME.fullmatch(raw) else code(raw, limit)


def link(url: str, text: str, longest: int = SECTION_LIMIT) -> str:
    """Returns a mrkdwn link to `url` with our own `text`; "" when the address must not become a link."""
    address = safe_url(url, longest).translate(_ESCAPES)
    return f"<{address}|{text}>" if address and len(address) + len(text) + 3 <= longest else ""


def plain(raw: str, limit: int) -> Block:
    """Returns a text object in which Slack formats nothing."""
    return {"type": "plain_text", "text": escaped(raw, limit), "emoji": False}


def mrkdwn(text: str) -> Block:
    """Returns a text object of mrkdwn. Text from outside must have been through code(), bold() or link()."""
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
    """Returns the whole message. `text` is what notifications and screen readers show."""
    return {"text": text, "blocks": blocks, "link_names": False, "unfurl_links": False, "unfurl_media": False}


def size(message: dict[str, Any]) -> int:
    """Returns the length of the message as JSON, which is more than Slack counts."""
    return utf16_length(json.dumps(message, ensure_ascii=False))
