"""What the role of the application can do to the ledger: read it, and post by the one function."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.apps import apps
from django.db import connection
from psycopg.errors import InsufficientPrivilege
from pytest_django import DjangoDbBlocker

from core.database_roles import writable_by_connection
from escrow import ledger
from escrow.ledger.rights import FUNCTIONS, TABLES
from escrow.ledger.tests.books import books, fund

Session = psycopg.Connection[Any]
READ = "SELECT * FROM {table} LIMIT 0"
CHANGES = (
    "INSERT INTO {table} DEFAULT VALUES",
    "UPDATE {table} SET {column} = {column}",
    "DELETE FROM {table}",
    "TRUNCATE {table} CASCADE",
    "ALTER TABLE {table} DISABLE TRIGGER ALL",
    "ALTER TABLE {table} DISABLE TRIGGER USER",
    "ALTER TABLE {table} OWNER TO CURRENT_USER",
    "DROP TABLE {table} CASCADE",
    "SELECT 1 FROM {table} FOR UPDATE",
    "LOCK TABLE {table} IN SHARE MODE",
    "COPY {table} FROM STDIN",
    "CREATE TRIGGER mine BEFORE INSERT ON {table} EXECUTE FUNCTION ledger_entries_are_whole()",
    "CREATE RULE mine AS ON INSERT TO {table} DO INSTEAD NOTHING",
)
BREAK = """
CREATE OR REPLACE FUNCTION ledger_entries_are_whole() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN END'
"""


@pytest.fixture
def application(application_url: str, db: None) -> Iterator[Session]:
    """A session of the application's role, whose changes are undone."""
    with psycopg.connect(application_url) as session:
        yield session
        session.rollback()


@pytest.fixture
def as_application(
    application_url: str, django_db_setup: None, django_db_blocker: DjangoDbBlocker
) -> Iterator[None]:
    """Django's own connection has the application's role, in a transaction that is undone."""
    given, usual = psycopg.conninfo.conninfo_to_dict(application_url), dict(connection.settings_dict)
    with django_db_blocker.unblock():
        connection.close()
        connection.settings_dict.update(USER=given["user"], PASSWORD=given["password"])
        connection.set_autocommit(False)
        yield
        connection.rollback()
        connection.close()
        connection.settings_dict.update(usual)


def refused(session: Session, statement: str) -> None:
    with pytest.raises(InsufficientPrivilege), session.transaction():
        session.execute(statement.encode())


def test_every_table_of_the_ledger_is_protected() -> None:
    tables = {model._meta.db_table for model in apps.get_app_config("escrow").get_models()}
    assert {table for table in tables if table.startswith("ledger_")} == set(TABLES)


@pytest.mark.parametrize("table", TABLES)
def test_it_reads_a_table_and_can_neither_change_it_nor_switch_off_its_guards(
    application: Session, table: str
) -> None:
    [column] = (application.execute(READ.format(table=table).encode()).description or [])[:1]
    for change in CHANGES:
        refused(application, change.format(table=table, column=column.name))


def test_it_cannot_become_someone_who_could(application: Session) -> None:
    owner = connection.settings_dict["USER"]
    for statement in (
        f"SET ROLE {owner}",
        f"SET SESSION AUTHORIZATION {owner}",
        "SET session_replication_role = replica",
        f"GRANT {owner} TO CURRENT_USER",
        BREAK,
        "DROP FUNCTION ledger_entries_are_whole() CASCADE",
        "ALTER FUNCTION ledger_post SECURITY INVOKER",
        "CREATE TABLE public.ledger_entry_2 ()",
    ):
        refused(application, statement)


def test_a_table_of_its_own_does_not_take_the_place_of_one_of_the_ledger(as_application: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMP TABLE ledger_entry (LIKE public.ledger_entry)")
        cursor.execute("SET LOCAL search_path = pg_temp, public")
        fund(1, 1_000)
        cursor.execute(
            "SELECT (SELECT count(*) FROM pg_temp.ledger_entry), (SELECT count(*) FROM public.ledger_entry)"
        )
        assert cursor.fetchone() == (0, 2)


def test_it_posts_by_the_function_and_what_the_function_refuses_stays_refused(as_application: None) -> None:
    assert writable_by_connection("default") == []
    posted = fund(1, 1_000)
    assert (ledger.balance_of(ledger.held(1, "NGN")), books()) == (1_000, (1, 2, 2_000))
    ledger.reverse(transfer_id=posted.transfer_id, key="undone", reason="a test")
    with pytest.raises(ledger.AlreadyReversed):
        ledger.reverse(transfer_id=posted.transfer_id, key="twice", reason="a test")


def test_switched_off_triggers_of_a_session_do_not_let_a_broken_transfer_in(application: Session) -> None:
    """pgtrigger reads which triggers to leave out from a setting of the session, which every role can set."""
    application.execute("SELECT set_config('pgtrigger.ignore', '{ledger_entry:entries_are_kept}', true)")
    refused(application, "TRUNCATE ledger_entry")
    refused(application, "DELETE FROM ledger_entry")


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.django_db
def test_a_function_that_writes_for_others_is_closed_to_the_rest(function: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT prosecdef, has_function_privilege('public', oid, 'EXECUTE'), proconfig"
            " FROM pg_proc WHERE proname = %s",
            [function],
        )
        [(as_owner, public, settings)] = cursor.fetchall()
    assert (as_owner, public) == (True, False)
    assert settings[0].endswith(", pg_temp"), "a table of the caller would be found before the ledger's"
