"""Reads structlog's events back from the records that pytest has caught."""

from collections.abc import Iterable
from logging import LogRecord
from typing import Any


def events_of(records: Iterable[LogRecord]) -> list[dict[str, Any]]:
    """The fields of each event, `event` and `level` among them."""
    return [dict(record.msg) for record in records if isinstance(record.msg, dict)]


def names_of(records: Iterable[LogRecord]) -> list[str]:
    return [event["event"] for event in events_of(records)]
