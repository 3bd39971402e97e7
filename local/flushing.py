"""Empties the database after a test that commits, and puts back what the migrations had written.

Django truncates every table, which makes new files for each and its indexes, and then sends `post_migrate`,
whose receivers make content types, permissions, roles and the first rows anew, with 157 statements. Here rows
are deleted, and those of the migrations copied back: a thirtieth of the time, for each of 400 tests.

Append-only tables refuse both, by triggers. The owner of the tables leaves triggers out for a transaction,
where the server lets it (local/services.py); elsewhere it switches them off around a TRUNCATE.
"""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from django.core.management import call_command
from django.db import connection, transaction

# Where TransactionTestCase looks the command up. If a later Django looks elsewhere, a flush is slow again.
CALLED_BY_TESTS = "django.test.testcases.call_command"
LONGEST_TABLE = 1 << 20  # bytes


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
    """In one transaction, at whose end foreign keys are checked, if they are: in any order of the tables."""
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


def may_skip_triggers() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('server_version_num')::int >= 150000")
        if not cursor.fetchone()[0]:
            return False
        cursor.execute("SELECT has_parameter_privilege('session_replication_role', 'SET')")
        return bool(cursor.fetchone()[0])


def has_grown(tables: list[str]) -> bool:
    """Whether a table is so long, with all the rows that were deleted from it, that a new file is better.

    Also if a test has left one out, so that Django looks which there are.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_relation_size(to_regclass(name)) FROM unnest(%s::text[]) AS name", [tables])
        return any(size is None or size > LONGEST_TABLE for (size,) in cursor.fetchall())


def delete_rows(tables: list[str]) -> None:
    """Without triggers, those of foreign keys among them: the order of the tables does not matter."""
    deletes = "".join(f"DELETE FROM {table};" for table in tables)  # noqa: S608  (names of our own tables)
    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL session_replication_role = replica; {deletes}")


@contextmanager
def quick_flushes() -> Generator[None]:
    """Meanwhile a test's flush ends with the rows that are in the database now."""
    copies = copy_rows()
    protected = tables_that_refuse_truncate()
    names = connection.introspection.django_table_names(only_existing=True, include_views=False)
    tables = [connection.ops.quote_name(name) for name in names]
    deletes = may_skip_triggers()

    def call(command: str, *arguments: Any, **options: Any) -> Any:
        if command != "flush":
            return call_command(command, *arguments, **options)
        if deletes and not has_grown(tables):
            with transaction.atomic():
                delete_rows(tables)
                put_back(copies)
            return None
        with without_triggers(protected):
            call_command(command, *arguments, **options | {"inhibit_post_migrate": True})
            put_back(copies)
        return None

    with mock.patch(CALLED_BY_TESTS, call):
        yield
