"""Hides secrets in data: dictionaries, lists and their values, up to a depth and size that suit a log
line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from core.scrubbing.names import is_secret_name
from core.scrubbing.texts import HIDDEN, scrub_text

DEEPEST = 16
MOST_ITEMS = 500  # of one container
MOST_VALUES = 20_000  # in all
LEFT_OUT = "[left out]"
CONTAINERS = (Mapping, list, tuple, set, frozenset)
AS_THEY_ARE = (int, float, date, time, timedelta, Decimal, UUID)
TRACE_OR_FINGERPRINT = re.compile(r"[0-9a-f]{16}(?:[0-9a-f]{16})?")
IDENTIFIERS = frozenset(
    {"trace_id", "span_id", "parent_span_id", "trace.id", "span.id", "fingerprint", "event_id"}
)


def scrub(value: Any, key: str | None = None) -> Any:
    """Returns a copy of `value` without secrets. `key`: the key under which it was found.

    The value of a secret key is hidden unless it is None, a boolean or "". Texts go through `scrub_text`;
    numbers, times and UUIDs are kept; bytes become text, and other objects their scrubbed `repr`.
    """
    return Walk().scrub(value, key, DEEPEST)


class Walk:
    """Scrubs one value, and counts the values in it, so that even a cycle ends."""

    def __init__(self) -> None:
        self.left = MOST_VALUES

    def scrub(self, value: Any, key: object, depth: int) -> Any:
        self.left -= 1
        # Not isinstance: it evaluates a lazy object, which may cost a query.
        kind = type(value)
        if value is None or kind is bool or (kind is str and not value):
            return value
        if isinstance(key, str) and is_secret_name(key):
            return HIDDEN
        if kind is str:
            is_identifier = key in IDENTIFIERS and TRACE_OR_FINGERPRINT.fullmatch(value)
            return value if is_identifier else scrub_text(value)
        if issubclass(kind, AS_THEY_ARE):
            return value
        if issubclass(kind, CONTAINERS):
            return self.scrub_container(value, key, depth)
        return scrub_text(text_of(value))

    def scrub_container(self, value: Any, key: object, depth: int) -> Any:
        if depth <= 0 or self.left <= 0:
            return LEFT_OUT
        try:
            if issubclass(type(value), Mapping):
                return self.scrub_mapping(value, depth - 1)
            scrubbed = self.scrub_items(list(value), key, depth - 1)
        except Exception:  # noqa: BLE001  (another thread changed it, or its own methods fail)
            return f"<{type(value).__name__}>"
        return tuple(scrubbed) if issubclass(type(value), tuple) else scrubbed

    def scrub_items(self, items: list[Any], key: object, depth: int) -> list[Any]:
        if len(items) == 2 and is_name_of_secret(items[0]):
            name = text_of(items[0])
            return [name, self.scrub(items[1], name, depth)]
        scrubbed = [self.scrub(item, key, depth) for item in items[:MOST_ITEMS]]
        if len(items) > MOST_ITEMS:
            scrubbed[-1] = LEFT_OUT
        return scrubbed

    def scrub_mapping(self, value: Mapping[Any, Any], depth: int) -> dict[Any, Any]:
        """Scrubs keys and values. `{"name": "password", "value": …}` counts as a pair, too."""
        named = value.get("name") if "value" in value else None
        scrubbed: dict[Any, Any] = {}
        for name, item in value.items():
            if len(scrubbed) == MOST_ITEMS - 1:
                scrubbed["…"] = LEFT_OUT
                break
            key = self.scrub_key(name)
            known_as = named if name == "value" and is_name_of_secret(named) else name
            scrubbed[key] = self.scrub(item, text_of(known_as) if is_name_of_secret(known_as) else key, depth)
        return scrubbed

    def scrub_key(self, name: Any) -> Any:
        if name is None or issubclass(type(name), AS_THEY_ARE):
            return name
        return scrub_text(text_of(name))


def is_name_of_secret(name: object) -> bool:
    return type(name) in {str, bytes} and is_secret_name(text_of(name))


def text_of(value: Any) -> str:
    """Returns `value` as text; never raises."""
    kind = type(value)
    try:
        if issubclass(kind, bytes | bytearray):
            return str(value, "utf-8", "backslashreplace")
        return str(value) if issubclass(kind, str) else repr(value)
    except Exception:  # noqa: BLE001  (a failing __repr__ must not lose the log line)
        return f"<{type(value).__name__}>"
