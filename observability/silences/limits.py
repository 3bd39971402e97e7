"""Bounds the time of statements whose cost an operator's input decides."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import OperationalError, connection, transaction
from psycopg import errors as postgres

from core.errors import Invalid

LONGEST_MILLISECONDS = 3_000


class TooExpensive(Invalid):
    """PostgreSQL did not finish within its time."""

    code = "too_expensive"


@contextmanager
def limited_statement() -> Iterator[None]:
    """Runs the block in a transaction whose statements may take LONGEST_MILLISECONDS each.

    Raises TooExpensive when one takes longer. The limit ends with the block, also within a transaction.
    """
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT current_setting('statement_timeout')")
            before = cursor.fetchone()
            set_limit(f"{LONGEST_MILLISECONDS}ms")
            yield
            set_limit(before[0] if before else "0")
    except OperationalError as problem:
        if isinstance(problem.__cause__, postgres.QueryCanceled):
            raise TooExpensive(
                "These matchers take too long to evaluate: use simpler regular expressions."
            ) from problem
        raise


def set_limit(value: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('statement_timeout', %s, true)", [value])
