"""Empties the database after a test that commits, and puts back what the migrations had written.

Django sends `post_migrate` after each flush, whose receivers make content types, permissions, roles and the
first rows anew: 157 statements and 0.4 s of processor time for each of 400 tests. Their rows are copied once
instead, and copied back.
"""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from django.core.management import call_command
from django.db import connection, transaction

# Where TransactionTestCase looks the command up. If a later Django looks elsewhere, a flush is slow again.
CALLED_BY_TESTS = "django.test.testcases.call_command"


def copy_rows() -> dict[str, bytes]:
    """The rows of each table that has some, in PostgreSQL's text format."""
    copies = {}
    with connection.cursor() as cursor:
        for table in connection.introspection.django_table_names(only_existing=True, include_views=False):
            with cursor.copy(f"COPY {connection.ops.quote_name(table)} TO STDOUT") as copy:
                rows = b"".join(bytes(part) for part in copy)
            if rows:
                copies[table] = rows
    return copies


def put_back(copies: dict[str, bytes]) -> None:
    """In one transaction, at whose end foreign keys are checked: the order of the tables does not matter."""
    with transaction.atomic(), connection.cursor() as cursor:
        for table, rows in copies.items():
            with cursor.copy(f"COPY {connection.ops.quote_name(table)} FROM STDIN") as copy:
                copy.write(rows)


def tables_that_refuse_truncate() -> list[str]:
    """The append-only tables: their triggers refuse TRUNCATE, too."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT tgrelid::regclass::text FROM pg_trigger"
            " WHERE tgtype & 32 <> 0 AND NOT tgisinternal"
        )
        return [table for (table,) in cursor.fetchall()]


@contextmanager
def without_triggers(tables: list[str]) -> Generator[None]:
    """In one transaction, so that no other session sees the tables without their triggers."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("".join(f"ALTER TABLE {table} DISABLE TRIGGER USER;" for table in tables))
        yield
        cursor.execute("".join(f"ALTER TABLE {table} ENABLE TRIGGER USER;" for table in tables))


@contextmanager
def quick_flushes() -> Generator[None]:
    """Meanwhile a test's flush ends with the rows that are in the database now."""
    copies = copy_rows()
    protected = tables_that_refuse_truncate()

    def call(command: str, *arguments: Any, **options: Any) -> Any:
        if command != "flush":
            return call_command(command, *arguments, **options)
        with without_triggers(protected):
            call_command(command, *arguments, **options | {"inhibit_post_migrate": True})
            put_back(copies)
        return None

    with mock.patch(CALLED_BY_TESTS, call):
        yield
