"""A span for each SQL statement inside a sampled request or task, without its values."""

import re
from functools import lru_cache
from typing import Any, NamedTuple

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, StatusCode

from observability.trail import shape

tracer = trace.get_tracer(__name__)

TABLE = re.compile(r'\b(?:FROM|INTO|UPDATE|JOIN)\s+(?:ONLY\s+)?"?([A-Za-z_][\w.]*)', re.IGNORECASE)
VERB = re.compile(r"[A-Za-z]+")


class Statement(NamedTuple):
    name: str
    operation: str
    text: str


@lru_cache(maxsize=512)
def described(sql: str) -> Statement:
    """`SELECT accounts_user`, `SELECT`, and the text with `?` for each literal."""
    text = shape(sql)
    verb = VERB.search(text)
    operation = verb[0].upper() if verb else "SQL"
    table = TABLE.search(text)
    return Statement(f"{operation} {table[1]}" if table else operation, operation, text)


def start_statement_span(sql: object, connection: Any) -> Span:
    """`sql` may be psycopg's composed statement. The span is never current: nothing is started inside."""
    statement = described(sql if isinstance(sql, str) else shape(sql))
    return tracer.start_span(
        statement.name,
        kind=SpanKind.CLIENT,
        attributes={
            "db.system.name": "postgresql",
            "db.namespace": connection.settings_dict["NAME"] or "",
            "db.operation.name": statement.operation,
            "db.query.text": statement.text,
        },
    )


def end_statement_span(span: Span, exception: BaseException | None) -> None:
    if exception is not None:
        span.set_attribute("error.type", type(exception).__qualname__)
        span.set_status(StatusCode.ERROR)
    span.end()
