"""Formats times and durations for Slack."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


def date(moment: datetime) -> str:
    """Returns a time that Slack shows in each reader's time zone; the fallback is UTC."""
    utc = moment.astimezone(UTC)
    return f"<!date^{int(utc.timestamp())}^{{date_short_pretty}} {{time_secs}}|{utc:%Y-%m-%d %H:%M:%S} UTC>"


def duration(length: timedelta) -> str:
    """Returns `length` in its two largest units: "2 d 3 h", "3 h 5 min", "5 min 7 s", "7 s"."""
    seconds = max(0, int(length.total_seconds()))
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if days:
        return f"{days} d {hours % 24} h"
    if hours:
        return f"{hours} h {minutes % 60} min"
    return f"{minutes} min {seconds % 60} s" if minutes else f"{seconds} s"
