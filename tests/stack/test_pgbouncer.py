"""Behind a real PgBouncer: what works in each of its modes, and how the rest is refused."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.conf import settings as amani_settings
from django.contrib.contenttypes.models import ContentType
from django.core.checks import run_checks
from django.core.management import CommandError, call_command
from django.db import connection, connections

from amani.management.commands import migrate
from core import pooling
from core.pooling import NoSessions, has_pooler, is_pooled_by_transaction
from local.ports import find_free_port
from observability.alerts.delivery import drain
from observability.alerts.delivery.sender import check_sessions, held_slot
from observability.alerts.intake.ingest import Envelope, store
from observability.alerts.intake.payload import read_payload
from observability.models import Delivery, Episode
from observability.tests.payloads import alert, body
from observability.tests.vendors import Vendor
from observability.tests.waiting import COMMAND_SECONDS
from tests.stack.pgbouncer import PgBouncer

pytestmark = [
    pytest.mark.needs("pgbouncer"),
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("channels"),
]
# One message for each alert, as soon as a sender takes it.
UNPACED = {"SLACK_MESSAGES_PER_SECOND": 0, "PAGERDUTY_EVENTS_PER_MINUTE": 0, "ALERT_DIGEST_THRESHOLD": 1000}
Through = Callable[[str], None]
CLIENTS = 5
ALERTS = 4  # of each client


@pytest.fixture
def channels(slack: Vendor, pagerduty: Vendor, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both on, without pacing; nobody rings for the worker."""
    for name, value in UNPACED.items():
        setattr(settings, name, value)
    settings.SLACK_WEBHOOK_URL, settings.PAGERDUTY_EVENTS_URL = slack.url, pagerduty.url
    settings.PAGERDUTY_API_KEY = "R0123456789ABCDEFGHIJKLMNOPQRSTU"
    monkeypatch.setattr("core.doorbell.Doorbell.ring", lambda self, channel: None)


@pytest.fixture(scope="module")
def pgbouncer(django_db_setup: None) -> Iterator[PgBouncer]:
    folder = Path(tempfile.mkdtemp(prefix="amani-pgbouncer-"))
    folder.chmod(0o755)  # PgBouncer may run as another user
    program = shutil.which("pgbouncer")
    assert program is not None
    server = PgBouncer(folder, find_free_port(), program, dict(connection.settings_dict))
    server.start()
    yield server
    server.remove()


@pytest.fixture
def through(pgbouncer: PgBouncer, transactional_db: None) -> Iterator[Through]:
    """`through("transaction")` leads every new connection through that pool."""
    usual = dict(connection.settings_dict)

    def use(pool: str) -> None:
        connection.close()
        connection.settings_dict.update(pgbouncer.django_settings(pool))
        check_sessions.cache_clear()

    yield use
    connection.close()
    connection.settings_dict.update(usual)
    check_sessions.cache_clear()


@pytest.fixture
def transaction_pooling(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """As DATABASE_TRANSACTION_POOLING=true."""
    settings.DATABASE_TRANSACTION_POOLING = True
    monkeypatch.setitem(connection.settings_dict, "DISABLE_SERVER_SIDE_CURSORS", True)


def in_threads(work: Callable[[int], Any], number: int) -> list[Any]:
    """`work(0)`, `work(1)`, … at the same time, each with a database connection of its own."""

    def run(item: int) -> Any:
        try:
            return work(item)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(run, range(number)))


def take_in_storm() -> None:
    def send(client: int) -> None:
        for number in range(ALERTS):
            content = body(alert(client * ALERTS + number))
            store(read_payload(content), Envelope(content))

    in_threads(send, CLIENTS)


# Of this database: other tests, in theirs, may hold some at the same time.
LOCKS = """
SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'
   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


def advisory_locks() -> int:
    with connection.cursor() as cursor:
        cursor.execute(LOCKS)
        return int(cursor.fetchone()[0])


def errors_of_the_check() -> list[str]:
    return [str(found.id) for found in run_checks(tags=["database"], databases=["default"])]


def test_each_mode_is_recognised(through: Through) -> None:
    assert (has_pooler(connection), is_pooled_by_transaction(connection)) == (False, False)
    through("session")
    assert (has_pooler(connection), is_pooled_by_transaction(connection)) == (True, False)
    through("transaction")
    assert (has_pooler(connection), is_pooled_by_transaction(connection)) == (True, True)


def test_transaction_mode_is_recognised_while_others_use_the_pool(
    through: Through, pgbouncer: PgBouncer
) -> None:
    through("transaction")
    recognised = threading.Event()

    def use_the_pool() -> None:
        address = pgbouncer.url_of("transaction")
        with psycopg.connect(address, autocommit=True, prepare_threshold=None) as client:
            while not recognised.is_set():
                client.execute("SELECT 1")

    with ThreadPoolExecutor(2) as pool:
        others = [pool.submit(use_the_pool) for _ in range(2)]
        found = [is_pooled_by_transaction(connection) for _ in range(5)]
        recognised.set()
        for other in others:
            other.result()
    assert found == [True] * 5


def test_a_pool_without_a_free_session_is_not_waited_for(
    through: Through, pgbouncer: PgBouncer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pooling, "PROBE_SECONDS", 0.2)
    through("transaction")
    busy = [psycopg.connect(pgbouncer.url_of("transaction")) for _ in range(2)]
    assert has_pooler(connection)
    for each in busy:
        each.execute("SELECT 1")  # begins a transaction
    monkeypatch.setattr(pooling, "has_pooler", lambda _: True)
    assert not is_pooled_by_transaction(connection)
    for each in busy:
        each.close()


def test_alerts_arrive_and_are_sent_once_in_session_mode(
    through: Through, slack: Vendor, pagerduty: Vendor
) -> None:
    through("session")
    take_in_storm()
    in_threads(lambda number: drain(("slack", "pagerduty")[number % 2]), 4)
    assert Episode.objects.count() == CLIENTS * ALERTS
    keys = [event["dedup_key"] for event in pagerduty.bodies()]
    assert sorted(keys) == sorted(Episode.objects.values_list("dedup_key", flat=True))
    assert len(slack.bodies()) == CLIENTS * ALERTS
    assert not Delivery.objects.exclude(state="delivered").exists()
    assert advisory_locks() == 0
    assert errors_of_the_check() == []


@pytest.mark.usefixtures("transaction_pooling")
def test_web_works_in_transaction_mode(through: Through) -> None:
    through("transaction")
    take_in_storm()
    assert Episode.objects.count() == CLIENTS * ALERTS
    assert len(in_threads(lambda _: list(ContentType.objects.iterator(chunk_size=2)), CLIENTS)) == CLIENTS
    assert errors_of_the_check() == []


def test_without_the_setting_transaction_mode_is_an_error_of_the_check(through: Through) -> None:
    through("transaction")
    assert errors_of_the_check() == ["amani.E010"]
    with pytest.raises(Exception, match=r"prepared statement .* (already exists|does not exist)"):
        take_in_storm()


@pytest.mark.parametrize("told", [True, False])
def test_nothing_is_sent_in_transaction_mode(
    told: bool, through: Through, settings: Any, slack: Vendor
) -> None:
    through("session")
    take_in_storm()
    settings.DATABASE_TRANSACTION_POOLING = told
    through("transaction")
    with pytest.raises(NoSessions, match=r"Sending alerts needs .* pool_mode = session"):
        drain("slack")
    assert slack.bodies() == []
    assert not Delivery.objects.exclude(state="pending").exists()
    assert advisory_locks() == 0


def test_a_test_alert_without_the_worker_is_refused_in_transaction_mode(through: Through) -> None:
    through("transaction")
    with pytest.raises(CommandError, match="send_test_alert without --wait needs a session of its own"):
        call_command("send_test_alert")
    assert not Episode.objects.exists()


def test_a_sender_whose_session_ended_says_so(through: Through, caplog: pytest.LogCaptureFixture) -> None:
    through("session")
    with held_slot("slack") as slot:
        connection.close()
        assert slot == 0
        connection.ensure_connection()
    assert "sender_slot_lost" in caplog.text


def test_the_worker_does_not_start_in_transaction_mode(pgbouncer: PgBouncer) -> None:
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "celery", "--quiet", "-A", "amani", "worker"],
        env=os.environ | {"DATABASE_URL": pgbouncer.url_of("transaction")},
        cwd=amani_settings.BASE_DIR,
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
        check=False,
    )
    assert ended.returncode == 1
    [line] = ended.stderr.splitlines()
    assert line.startswith("DATABASE_URL leads to a pooler"), line
    assert "The worker needs a session of its own" in line


def test_migrate_works_in_session_mode_and_is_refused_in_transaction_mode(through: Through) -> None:
    through("session")
    call_command("migrate", "sessions", "zero", verbosity=0)
    through("transaction")
    with pytest.raises(CommandError, match="migrate needs a session of its own"):
        call_command("migrate", verbosity=0)
    assert "django_session" not in connection.introspection.table_names()
    assert advisory_locks() == 0
    through("session")
    call_command("migrate", verbosity=0)
    assert "django_session" in connection.introspection.table_names()
    assert advisory_locks() == 0


def test_a_lock_that_fell_to_another_session_stops_migrate(
    through: Through, pgbouncer: PgBouncer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the pooler could not be recognised, because its pool was full at that time."""
    await_lock = migrate.await_lock
    with psycopg.connect(pgbouncer.url_of("transaction")) as other:

        def then_lose_the_session(*arguments: Any) -> None:
            await_lock(*arguments)
            other.execute("SELECT 1")  # begins a transaction, in the session that has just become free

        monkeypatch.setattr(migrate, "await_lock", then_lose_the_session)
        monkeypatch.setattr(migrate, "require_sessions", lambda *_: None)
        through("transaction")
        with pytest.raises(CommandError, match="Nothing was migrated"):
            call_command("migrate", verbosity=0)
        other.execute("SELECT pg_advisory_unlock_all()")
