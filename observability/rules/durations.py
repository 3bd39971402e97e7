"""Durations as operators type them: `90`, `5m`, `1h30m`."""

from __future__ import annotations

from observability.rules.files import seconds_of

LONGEST_SECONDS = 30 * 86_400.0


def read_duration(text: str) -> float:
    """Returns seconds of a number of them, or of a duration of Prometheus. Raises ValueError."""
    typed = text.strip()
    try:
        seconds = float(typed) if typed.isdecimal() else seconds_of(typed)
    except (ValueError, OverflowError):
        raise ValueError("Write a duration such as 90s, 5m or 1h30m; 0 for none.") from None
    if seconds > LONGEST_SECONDS:
        raise ValueError("Thirty days (30d) is the longest.")
    return seconds
