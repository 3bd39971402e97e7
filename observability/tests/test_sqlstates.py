"""Each SQLSTATE of the table by what it means, as PostgreSQL itself raises it, and what is done about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress

import psycopg
import pytest
from django.db import Error as DatabaseError
from django.db import InterfaceError, OperationalError, close_old_connections, connection, transaction

from core.sqlstates import DESCRIPTIONS, OUTAGES, Outage, Reason, is_outage, outage_of
from local.services import PrivatePostgres
from observability.models import Heartbeat
from observability.tests.read_only import read_only_database

ROWS = [
    ("08000", Reason.CONNECTION_LOST, True),
    ("08006", Reason.CONNECTION_LOST, True),
    ("08P01", Reason.CONNECTION_LOST, True),
    ("25006", Reason.READ_ONLY, True),
    ("25P03", Reason.CONNECTION_LOST, True),
    ("25P04", Reason.CONNECTION_LOST, True),
    ("40001", Reason.CONFLICT, False),
    ("40P01", Reason.CONFLICT, False),
    ("53000", Reason.LIMIT_REACHED, False),
    ("53100", Reason.DISK_FULL, False),
    ("53200", Reason.OUT_OF_MEMORY, False),
    ("53300", Reason.TOO_MANY_CONNECTIONS, False),
    ("53400", Reason.LIMIT_REACHED, False),
    ("55P03", Reason.LOCKED, False),
    ("57014", Reason.TIMED_OUT, False),
    ("57P01", Reason.SHUTTING_DOWN, True),
    ("57P02", Reason.SHUTTING_DOWN, True),
    ("57P03", Reason.SHUTTING_DOWN, True),
    ("57P04", Reason.CONNECTION_LOST, True),
    ("57P05", Reason.CONNECTION_LOST, True),
    ("58000", Reason.STORAGE_FAILS, False),
    ("58030", Reason.STORAGE_FAILS, False),
]
FAULTS = ["0A000", "22001", "23505", "25P02", "28000", "40003", "42501", "42P01", "54001", "55006", "58P01"]
FAULTS += ["P0001", "XX000", "XX001"]


def raise_in_database(sqlstate: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"DO $$ BEGIN RAISE EXCEPTION 'secret' USING ERRCODE = '{sqlstate}'; END $$")


def raised(sqlstate: str) -> DatabaseError:
    with pytest.raises(DatabaseError) as caught:
        raise_in_database(sqlstate)
    return caught.value


@transaction.atomic
def write_and_be_refused() -> None:
    Heartbeat.beat(Heartbeat.WORKER)
    raise_in_database("25006")


@transaction.atomic
def be_refused_and_write() -> None:
    with suppress(DatabaseError), transaction.atomic():
        raise_in_database("25006")
    Heartbeat.beat(Heartbeat.WORKER)


def read() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def session() -> int | None:
    """The server's process behind this thread's connection; None when it is closed."""
    return connection.connection.info.backend_pid if connection.connection is not None else None


def test_the_rows_below_are_all_of_the_table() -> None:
    assert {state for state in OUTAGES if len(state) == 5} <= {row[0] for row in ROWS}
    assert {state for state in OUTAGES if len(state) == 2} == {"08", "53"}
    assert set(DESCRIPTIONS) == set(Reason)


def met(sqlstate: str) -> tuple[Outage | None, bool]:
    """What an error with `sqlstate` means, and whether its connection was closed; the next one works."""
    read()
    before = session()
    outage = outage_of(raised(sqlstate))
    closed = session() is None
    read()
    assert (session() == before) is not closed
    return outage, closed


@pytest.mark.django_db(transaction=True)
def test_an_outage_ends_the_connection_only_when_a_new_one_may_do_better() -> None:
    found = {sqlstate: met(sqlstate) for sqlstate, _, _ in ROWS}
    assert found == {
        sqlstate: ((reason, ends_connection), ends_connection) for sqlstate, reason, ends_connection in ROWS
    }


@pytest.mark.django_db(transaction=True)
def test_everything_else_is_a_fault_and_keeps_the_connection() -> None:
    assert {sqlstate: met(sqlstate) for sqlstate in FAULTS} == dict.fromkeys(FAULTS, (None, False))


@pytest.mark.django_db(transaction=True)
def test_inside_a_transaction_the_connection_is_replaced_after_its_end() -> None:
    read()
    before = session()
    with pytest.raises(DatabaseError, match="secret"):
        write_and_be_refused()
    assert session() is None
    assert not Heartbeat.objects.exists()
    assert session() not in (None, before)


@pytest.mark.django_db(transaction=True)
def test_who_goes_on_in_a_transaction_that_was_refused_meets_an_outage_too() -> None:
    with pytest.raises(DatabaseError) as caught:
        be_refused_and_write()
    assert is_outage(caught.value)
    read()


@pytest.mark.django_db(transaction=True)
def test_a_connection_to_a_read_only_database_serves_one_request_though_it_only_read() -> None:
    with read_only_database():
        read()
        assert session() is not None
    close_old_connections()  # Django does at the end of a request, and amani/celery.py of a task
    assert session() is None
    read()
    kept = session()
    close_old_connections()
    assert session() == kept is not None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('FATAL:  too many connections for role "amani"', Reason.TOO_MANY_CONNECTIONS),
        ("FATAL:  sorry, too many clients already", Reason.TOO_MANY_CONNECTIONS),
        ("FATAL:  remaining connection slots are reserved for roles", Reason.TOO_MANY_CONNECTIONS),
        ("FATAL:  the database system is shutting down", Reason.SHUTTING_DOWN),
        ("FATAL:  the database system is starting up", Reason.SHUTTING_DOWN),
        ("FATAL:  the database system is not yet accepting connections", Reason.SHUTTING_DOWN),
        ("FATAL:  the database system is in recovery mode", Reason.SHUTTING_DOWN),
        ("session is read-only", Reason.READ_ONLY),
        ("server is in hot standby mode", Reason.READ_ONLY),
        ("Connection refused", Reason.CONNECTION_LOST),
        ("FATAL:  das Datenbanksystem wird beendet", Reason.CONNECTION_LOST),
    ],
)
@pytest.mark.parametrize("kind", [OperationalError, InterfaceError, psycopg.OperationalError])
def test_no_connection_is_an_outage_whose_text_says_why(
    kind: type[Exception], text: str, reason: Reason
) -> None:
    assert outage_of(kind(f"connection to server failed: {text}")) == (reason, True)


def test_what_is_raised_from_an_outage_is_that_outage() -> None:
    error = RuntimeError()
    error.__cause__ = psycopg.errors.DiskFull()
    assert outage_of(error) == (Reason.DISK_FULL, False)


@pytest.mark.parametrize("error", [None, ValueError(), DatabaseError("Save did not affect any rows.")])
def test_what_did_not_come_from_the_server_is_no_outage(error: Exception | None) -> None:
    assert not is_outage(error)


# --- A standby, which says so at the beginning of each session ---


@pytest.fixture
def own_server(private_postgres: Callable[[], PrivatePostgres]) -> Iterator[PrivatePostgres]:
    """Django's connection leads to a server of the test's own."""
    server = private_postgres()
    usual = connection.settings_dict
    connection.close()
    own = {"NAME": "amani", "USER": "amani", "PASSWORD": server.password, "PORT": str(server.port)}
    connection.settings_dict = {**usual, "HOST": "127.0.0.1", **own}
    yield server
    connection.close()
    connection.settings_dict = usual


def can_write() -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("CREATE TABLE IF NOT EXISTS written (at timestamptz)")
            cursor.execute("INSERT INTO written VALUES (now())")
    except DatabaseError as error:
        if outage_of(error) != (Reason.READ_ONLY, True):
            raise
        return False
    return True


@pytest.mark.django_db(transaction=True)
def test_a_standby_refuses_until_it_is_promoted(own_server: PrivatePostgres) -> None:
    assert can_write()
    connection.close()
    own_server.stop()
    (own_server.data / "standby.signal").touch()
    own_server.start()
    assert [can_write(), can_write()] == [False, False]
    with psycopg.connect(own_server.superuser_url, autocommit=True) as superuser:
        superuser.execute("SELECT pg_promote()")
    assert can_write()
