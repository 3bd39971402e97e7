"""Keeps the last statements, log lines and outgoing calls of each thread, to show what led to an error.

A request without errors costs one tuple for each statement and no Python call. Only for an error does
`leading_here` build a list of them, in order of time, without values. This module reads no settings.
"""

import logging
import os
import re
import threading
from collections import deque
from collections.abc import Mapping
from time import perf_counter
from typing import Any, NamedTuple

from core.outgoing import Call

SIZE = 32
TEXT_LIMIT = 500
VALUE_LIMIT = 200
FIELDS_LIMIT = 20
SHAPED_CHARACTERS = 4_000

# Quoted identifiers are matched so that they are kept. Any literal may lack its end: the text was cut off.
NOT_SHAPE = re.compile(
    r"""(?P<identifier>"[^"]*(?:""[^"]*)*(?:"|\Z))
    | (?P<comment>--[^\n]*|/\*.*?(?:\*/|\Z))
    | \b[eE]'[^'\\]*(?:(?:\\.|'')[^'\\]*)*(?:'|\\?\Z)
    | '[^']*(?:''[^']*)*(?:'|\Z)
    | \$(?P<tag>[A-Za-z_]*)\$.*?(?:\$(?P=tag)\$|\Z)
    | (?<![\w.$])(?:0[xX][0-9a-fA-F]+|\d[\d_]*(?:\.\d+)?(?:[eE][+-]?\d+)?)\b""",
    re.VERBOSE | re.DOTALL,
)


class Crumb(NamedTuple):
    """One breadcrumb. `at` is a time of time.perf_counter(); `kind` is one of Sentry's breadcrumb types."""

    at: float
    kind: str
    category: str
    message: str
    level: str
    data: dict[str, Any]


class Trail(threading.local):
    """A ring buffer of statements, and the last breadcrumbs, of this thread.

    Entries older than `began` belong to an earlier request or task; the code that begins a request or task
    sets it. The code that runs a statement writes `statements[count % SIZE] = (sql, started, seconds)` and
    adds 1 to `count`.
    """

    def __init__(self) -> None:
        self.statements: list[tuple[Any, float, float] | None] = [None] * SIZE
        self.count = 0
        self.untraced = False  # whether the request of this thread is known not to be sampled
        self.began = 0.0
        self.crumbs: deque[Crumb] = deque(maxlen=SIZE)
        self.request: Any = None  # the HttpRequest that is being answered, from `began` to its end

    def add(
        self,
        message: str,
        category: str = "default",
        level: str = "info",
        data: Mapping[str, Any] | None = None,
        kind: str = "default",
        at: float | None = None,
    ) -> None:
        """Adds a breadcrumb. It keeps short copies only, so that no model or upload stays in memory."""
        moment = perf_counter() if at is None else at
        text = cut(str(message), TEXT_LIMIT)
        self.crumbs.append(Crumb(moment, kind, category, text, level, short_values(data or {})))

    def add_record(self, record: logging.LogRecord) -> None:
        """Adds a log line. For one of structlog, the event is the message and the fields are the data."""
        if isinstance(record.msg, dict):
            fields = {name: value for name, value in record.msg.items() if not name.startswith("_")}
            message = fields.pop("event", "")
        else:
            fields, message = {}, record.getMessage()
        self.add(message, category=record.name, level=level_of(record), data=fields, kind="log")

    def add_call(self, call: Call) -> None:
        """An outgoing call: to which host, and how it ended."""
        data = {"status_code": call.outcome, "duration_ms": round(call.seconds * 1000, 2)}
        self.add(f"{call.method} {call.host}", "httplib", data=data, kind="http", at=call.began)

    def recent_statements(self) -> list[tuple[Any, float, float]]:
        """Returns `(sql, started, seconds)` of the statements since `began`, oldest first; at most SIZE."""
        first = self.count % SIZE
        in_order = self.statements[first:] + self.statements[:first]
        return [entry for entry in in_order if entry is not None and entry[1] >= self.began]

    def leading_here(self) -> list[Crumb]:
        """Returns all breadcrumbs since `began` in order of time. Statements are without their values."""
        statements = [
            Crumb(started, "query", "query", shape(sql), "info", {"duration_ms": round(seconds * 1000, 2)})
            for sql, started, seconds in self.recent_statements()
        ]
        others = [crumb for crumb in self.crumbs if crumb.at >= self.began]
        return sorted(statements + others, key=lambda crumb: crumb.at)

    def forget(self) -> None:
        """After a fork the child has led itself nowhere yet."""
        self.__init__()  # type: ignore[misc]


trail = Trail()
os.register_at_fork(after_in_child=trail.forget)


def level_of(record: logging.LogRecord) -> str:
    """Sentry's word for the level."""
    if record.levelno >= logging.CRITICAL:
        return "fatal"
    return record.levelname.lower() if record.levelno >= logging.DEBUG else "debug"


def short_values(data: Mapping[str, Any]) -> dict[str, Any]:
    return {str(name): short_value(value) for name, value in list(data.items())[:FIELDS_LIMIT]}


def short_value(value: object) -> Any:
    """Returns a number as it is, a text cut off, and any other value as its class: its `repr` may query."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return cut(str(value), VALUE_LIMIT)
    return f"<{type(value).__name__}>"


def cut(text: str, limit: int) -> str:
    """Cuts `text` at `limit` characters, not within a number: the scrubber could not find half of one."""
    return text if len(text) <= limit else text[:limit].rstrip("0123456789 .-")


def shape(sql: object) -> str:
    """Returns a statement without literals and comments, on one line, at most TEXT_LIMIT characters.

    For a statement that is not text (psycopg's composed ones) it returns the class.
    """
    if isinstance(sql, bytes):
        sql = sql[:SHAPED_CHARACTERS].decode(errors="replace")
    if not isinstance(sql, str):
        return f"<{type(sql).__name__}>"
    return " ".join(NOT_SHAPE.sub(without_value, sql[:SHAPED_CHARACTERS]).split())[:TEXT_LIMIT]


def without_value(match: re.Match[str]) -> str:
    if match["identifier"] is not None:
        return match[0]
    return " " if match["comment"] is not None else "?"
