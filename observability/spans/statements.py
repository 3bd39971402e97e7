"""A span for each SQL statement inside a sampled request or task, without its values."""

import re
from contextlib import AbstractContextManager
from functools import lru_cache
from typing import Any, NamedTuple

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind

from observability.trail import shape

tracer = trace.get_tracer(__name__)

TABLE = re.compile(r'\b(?:FROM|INTO|UPDATE|JOIN)\s+(?:ONLY\s+)?"?([A-Za-z_][\w.]*)', re.IGNORECASE)
VERB = re.compile(r"[A-Za-z]+")


class Statement(NamedTuple):
    summary: str
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


def statement_span(sql: object, connection: Any) -> AbstractContextManager[Span]:
    """A span that is current while the statement runs. `sql` may be psycopg's composed statement."""
    statement = described(sql if isinstance(sql, str) else str(shape(sql)))
    database = connection.settings_dict
    return tracer.start_as_current_span(
        statement.summary,
        kind=SpanKind.CLIENT,
        attributes={
            "db.system.name": "postgresql",
            "db.namespace": database["NAME"] or "",
            "db.operation.name": statement.operation,
            "db.query.summary": statement.summary,
            "db.query.text": statement.text,
            "server.address": database["HOST"] or "",
        },
    )
