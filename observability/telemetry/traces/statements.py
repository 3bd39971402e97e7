"""A span for each SQL statement inside a sampled request or task, without its values.

It is made when the statement has ended: nothing is ever started inside it, so it need not be current.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from opentelemetry import trace
from opentelemetry.trace import SpanContext, SpanKind, StatusCode

from observability.telemetry.errors.trail import shape

tracer = trace.get_tracer(__name__)

TABLE = re.compile(r'\b(?:FROM|INTO|UPDATE|JOIN)\s+(?:ONLY\s+)?"?([A-Za-z_][\w.]*)', re.IGNORECASE)
VERB = re.compile(r"[A-Za-z]+")


class Statement(NamedTuple):
    name: str
    attributes: Mapping[str, str]


@lru_cache(maxsize=512)
def described(sql: str, database: str) -> Statement:
    """Return a name like `SELECT accounts_user`, and attributes with only the shape of `sql`."""
    text = shape(sql)
    verb = VERB.search(text)
    operation = verb[0].upper() if verb else "SQL"
    table = TABLE.search(text)
    attributes = {
        "db.system.name": "postgresql",
        "db.namespace": database,
        "db.operation.name": operation,
        "db.query.text": text,
    }
    return Statement(f"{operation} {table[1]}" if table else operation, attributes)


def add_statement_span(
    sql: object, connection: Any, started_ns: int, seconds: float, exception: BaseException | None
) -> SpanContext:
    """Add a span below the current one, and return where it is.

    `sql` may be psycopg's composed statement. It began at `started_ns` (nanoseconds since 1970) and took
    `seconds`; `exception` is what it failed with.
    """
    database = connection.settings_dict["NAME"] or ""
    name, attributes = described(sql if type(sql) is str else shape(sql), database)
    span = tracer.start_span(name, kind=SpanKind.CLIENT, attributes=attributes, start_time=started_ns)
    if exception is not None:
        span.set_attribute("error.type", type(exception).__qualname__)
        span.set_status(StatusCode.ERROR)
    span.end(end_time=started_ns + int(seconds * 1e9))
    return span.get_span_context()
