"""One migrate at a time: how the others wait, and what they say."""

from __future__ import annotations

from collections.abc import Iterator
from io import StringIO
from typing import Any

import psycopg
import pytest
from django.core.checks import run_checks
from django.core.management import CommandError, call_command
from django.db import connection

from amani import role_checks
from amani.management.commands import migrate
from amani.management.commands.migrate import only_one
from observability.tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


def connect() -> psycopg.Connection[Any]:
    info = connection.connection.info
    return psycopg.connect(info.dsn, password=connection.settings_dict["PASSWORD"], autocommit=True)


@pytest.fixture
def other() -> Iterator[psycopg.Connection[Any]]:
    """The session of another migrate, which has the lock."""
    connection.ensure_connection()
    session = connect()
    session.execute(migrate.TRY_LOCK, migrate.LOCK)
    yield session
    session.close()


class Listener(StringIO):
    """Hears what migrate says, and then ends the other one."""

    def __init__(self, other: psycopg.Connection[Any]) -> None:
        super().__init__()
        self.other = other

    def write(self, text: str) -> int:
        self.other.close()
        return super().write(text)


def test_it_says_whom_it_waits_for_and_runs_afterwards(
    other: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrate, "REPORT_SECONDS", 0)
    process = other.info.backend_pid
    heard, done = Listener(other), StringIO()
    call_command("migrate", stdout=done, stderr=heard)
    assert f"s of 600 s): session {process} of amani from 127.0.0.1, idle for 0 s." in heard.getvalue()
    assert "No migrations to apply" in done.getvalue()


def test_it_names_what_the_other_one_waits_for(other: psycopg.Connection[Any]) -> None:
    with connect() as third:
        third.execute("SELECT pg_advisory_lock(7)")
        other.pgconn.send_query(b"SELECT pg_advisory_lock(7)")
        blocked = f", which waits for a lock of session {third.info.backend_pid}"
        assert wait_until(lambda: migrate.holder_of("default").endswith(blocked)), migrate.holder_of(
            "default"
        )


def test_it_ends_when_the_other_one_takes_too_long(other: psycopg.Connection[Any]) -> None:
    out = StringIO()
    with pytest.raises(CommandError, match=f"session {other.info.backend_pid} of amani .*--wait"):
        call_command("migrate", wait=0, stdout=out)
    assert out.getvalue() == ""


def test_a_lock_that_was_lost_meanwhile_is_an_error() -> None:
    with pytest.raises(CommandError, match="the lock was lost meanwhile"), only_one("default", 0, print):
        connection.close()


def test_a_failed_migration_is_reported_as_itself_and_frees_the_lock() -> None:
    with pytest.raises(ZeroDivisionError), only_one("default", 0, print):
        raise ZeroDivisionError
    with connect() as session:
        assert session.execute(migrate.TRY_LOCK, migrate.LOCK).fetchone() == (True,)


def test_a_postgresql_that_is_too_old_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(connection.features), "minimum_database_version", (99,))
    monkeypatch.setattr("django.db.backends.base.base.RAN_DB_VERSION_CHECK", set())
    connection.close()
    with pytest.raises(CommandError, match=r"PostgreSQL 99 or later is required \(found "):
        call_command("migrate")
    connection.close()
    [found] = run_checks(tags=["database"], databases=["default"])
    assert found.id == "amani.E009"
    connection.close()


# --- The role of the application (core/tests/test_database_roles.py has what it may do) ---


def test_without_the_role_of_the_application_nothing_is_migrated(settings: Any) -> None:
    settings.DATABASE_APPLICATION_ROLE = "missing_app"
    out = StringIO()
    with pytest.raises(CommandError, match=r'has no such role.*: CREATE ROLE "missing_app" LOGIN') as refused:
        call_command("migrate", stdout=out)
    assert (out.getvalue(), str(refused.value).count("\n")) == ("", 0)
    call_command("migrate", check_unapplied=True, stdout=out)  # only looks


def test_the_rights_are_given_again_when_there_is_nothing_to_migrate(
    other: psycopg.Connection[Any], settings: Any
) -> None:
    role = settings.DATABASE_APPLICATION_ROLE
    may_write = "SELECT has_table_privilege(%s, 'kyc_case', 'INSERT')"
    other.execute(migrate.UNLOCK, migrate.LOCK)
    other.execute(f"REVOKE ALL ON kyc_case FROM {role}".encode())
    assert other.execute(may_write, [role]).fetchone() == (False,)
    call_command("migrate", plan=True, verbosity=0)
    assert other.execute(may_write, [role]).fetchone() == (False,)
    call_command("migrate", verbosity=0)
    assert other.execute(may_write, [role]).fetchone() == (True,)


def test_the_check_names_the_schema_that_the_role_may_make_objects_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(role_checks, "writable_by_connection", lambda _database: [])
    [found] = run_checks(tags=["database"], databases=["default"], include_deployment_checks=True)
    assert (found.id, "REVOKE CREATE ON SCHEMA public FROM PUBLIC" in str(found.hint)) == ("amani.W020", True)


def test_the_check_names_what_the_owner_may_write_and_migrate_does_not(settings: Any) -> None:
    def found(*, deploy: bool) -> list[str]:
        checks = run_checks(tags=["database"], databases=["default"], include_deployment_checks=deploy)
        return [str(each.id) for each in checks]

    assert (found(deploy=True), found(deploy=False)) == (["amani.W018"], [])
    settings.DATABASE_APPLICATION_ROLE = ""
    assert found(deploy=True) == []
