"""How long a vendor asks us to wait, whatever way it says so."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

SHORTEST_SECONDS = 1.0
LONGEST_SECONDS = 3600.0


def seconds_to_wait(headers: Mapping[str, str], body: str = "") -> float | None:
    """Returns what a Retry-After header (seconds or a date) or a JSON `retry_after` asks for: 1 s to 1 h.

    None when the vendor asks for nothing that can be read.
    """
    header = header_of(headers, "retry-after")
    for wish in (_number(header), _until_date(header), _number(_json_retry_after(body))):
        if wish is not None:
            return min(max(wish, SHORTEST_SECONDS), LONGEST_SECONDS)
    return None


def header_of(headers: Mapping[str, str], name: str) -> str:
    """Returns a header's value whatever its case; "" when it is absent."""
    return next((value for key, value in headers.items() if key.lower() == name), "")


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return None if math.isnan(number) else number


def _until_date(value: str) -> float | None:
    try:
        date = parsedate_to_datetime(value)
    except (TypeError, ValueError):
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return (date - datetime.now(UTC)).total_seconds()


def _json_retry_after(body: str) -> object:
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return answer.get("retry_after") if isinstance(answer, dict) else None
