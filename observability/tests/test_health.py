"""Health names each server that is down, and answers in time also while a server hangs."""

import os
import re
import signal
import ssl
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from time import monotonic
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
import redis
from django.db import connection
from django.test import Client
from django.utils import timezone
from psycopg.conninfo import conninfo_to_dict

from core.sqlstates import DESCRIPTIONS, Reason
from local.services import PrivatePostgres, PrivateValkey
from observability.models import Heartbeat
from observability.telemetry import health
from observability.tests.waiting import ANSWER_SECONDS

USUAL_BUDGET_SECONDS = health.BUDGET_SECONDS

pytestmark = pytest.mark.urls("observability.tests.sample_urls")


@pytest.fixture(autouse=True)
def fresh_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    """No probe still waits for another test's server, no readiness is remembered, and a busy machine has time
    to answer."""
    monkeypatch.setattr(health, "BUDGET_SECONDS", ANSWER_SECONDS)
    monkeypatch.setattr(
        health, "database_probe", health.Probe(("database", "migrations", "worker"), health.ask_database)
    )
    monkeypatch.setattr(health, "broker_probe", health.Probe(("broker",), health.ask_broker))
    monkeypatch.setattr(health, "readiness", health.Readiness())


@pytest.fixture
def use_database(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """`use_database(url)` makes the checks ask another server."""

    def use(url: str) -> None:
        parameters = conninfo_to_dict(url)
        default = SimpleNamespace(get_connection_params=lambda: dict(parameters))
        monkeypatch.setattr(health, "connections", {"default": default})

    return use


@pytest.fixture
def usual_budget(fresh_probes: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """For a server that hangs."""
    monkeypatch.setattr(health, "BUDGET_SECONDS", USUAL_BUDGET_SECONDS)


@pytest.fixture
def stopped() -> Iterator[Callable[[int], None]]:
    """`stopped(pid)` freezes a process until the test ends."""
    frozen: list[int] = []

    def stop(pid: int) -> None:
        os.kill(pid, signal.SIGSTOP)
        frozen.append(pid)

    yield stop
    for pid in frozen:
        os.kill(pid, signal.SIGCONT)


def statuses(response: Any) -> dict[str, str]:
    return {name: check["status"] for name, check in response.json()["checks"].items()}


def details(response: Any) -> dict[str, str]:
    return {name: check["detail"] for name, check in response.json()["checks"].items()}


@pytest.mark.django_db(transaction=True)
def test_health_names_every_check_with_its_time(client: Client, settings: Any) -> None:
    Heartbeat.beat(Heartbeat.WORKER)
    response = client.get("/api/v1/health")
    body = response.json()
    assert response.status_code == 200
    assert (body["status"], body["version"], body["environment"]) == ("ok", settings.VERSION, "test")
    assert statuses(response) == dict.fromkeys(("database", "migrations", "worker", "broker"), "ok")
    assert all(check["time_ms"] > 0 for check in body["checks"].values())
    assert "no-store" in response["Cache-Control"]


@pytest.mark.django_db(transaction=True)
def test_health_is_degraded_while_the_worker_was_never_seen(client: Client) -> None:
    response = client.get("/api/v1/health")
    assert (response.status_code, response.json()["status"]) == (200, "degraded")
    assert details(response)["worker"] == "never seen"


@pytest.mark.django_db(transaction=True)
def test_health_is_degraded_when_the_worker_is_silent_for_over_a_minute(client: Client) -> None:
    Heartbeat.beat(Heartbeat.WORKER, timezone.now() - timedelta(seconds=95))
    response = client.get("/api/v1/health")
    assert (response.status_code, response.json()["status"]) == (200, "degraded")
    said = re.fullmatch(r"last seen (\d+) s ago", details(response)["worker"])
    assert said is not None
    assert int(said[1]) >= 95
    assert statuses(response)["worker"] == "error"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("age", "found"),
    [
        (-5, ("ok", "last seen 0 s ago")),
        (60, ("ok", "last seen 60 s ago")),
        (61, ("error", "last seen 61 s ago")),
    ],
)
def test_worker_may_be_silent_for_a_minute_and_no_longer(age: int, found: tuple[str, str]) -> None:
    run = health.Run()
    with psycopg.connect(**connection.get_connection_params()) as asking:
        row = asking.execute("SELECT now()").fetchone()  # the same until this transaction ends
        assert row is not None
        Heartbeat.beat(Heartbeat.WORKER, row[0] - timedelta(seconds=age))
        health.check_worker(run, asking)
    assert (run.checks["worker"].status, run.checks["worker"].detail) == found


@pytest.mark.django_db(transaction=True)
def test_health_is_degraded_when_the_broker_is_down(
    client: Client, settings: Any, free_port: Callable[[], int]
) -> None:
    Heartbeat.beat(Heartbeat.WORKER)
    settings.REDIS_URL = f"redis://:planted-secret@127.0.0.1:{free_port()}/0"
    response = client.get("/api/v1/health")
    assert (response.status_code, response.json()["status"]) == (200, "degraded")
    assert statuses(response)["broker"] == "error"
    assert details(response)["broker"] == "cannot connect or no answer"
    assert "planted-secret" not in response.content.decode()


def broken_by(cause: Exception) -> redis.ConnectionError:
    error = redis.ConnectionError("planted-host:6379")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "words"),
    [
        *[(redis.ResponseError(f"{code} planted"), words) for code, words in health.REFUSED_WRITES.items()],
        (redis.ResponseError("planted", status_code="OOM"), health.REFUSED_WRITES["OOM"]),
        (redis.ResponseError("ERR planted"), "cannot connect or no answer"),
        (
            broken_by(ssl.SSLCertVerificationError("planted")),
            "its certificate is not trusted (ssl_ca_certs in REDIS_URL)",
        ),
        (broken_by(OSError("planted")), "cannot connect or no answer"),
    ],
)
def test_error_of_the_broker_is_reported_by_its_reason(error: redis.RedisError, words: str) -> None:
    assert health.public_reason(error) == words


def test_a_database_that_is_down_is_an_error_that_names_no_host(
    client: Client, use_database: Callable[[str], None], free_port: Callable[[], int]
) -> None:
    use_database(f"postgresql://planted-user:planted-secret@127.0.0.1:{free_port()}/planted-name")
    response = client.get("/api/v1/health")
    assert (response.status_code, response.json()["status"]) == (503, "error")
    assert statuses(response) == {
        "database": "error",
        "migrations": "unknown",
        "worker": "unknown",
        "broker": "ok",
    }
    assert "planted" not in response.content.decode()
    assert "127.0.0.1" not in response.content.decode()
    assert client.get("/api/v1/readiness").status_code == 503


def test_a_database_without_migrations_is_not_ready(
    client: Client, use_database: Callable[[str], None], private_postgres: Callable[[], PrivatePostgres]
) -> None:
    use_database(private_postgres().url)
    response = client.get("/api/v1/readiness")
    assert (response.status_code, response.json()["status"]) == (503, "not ready")
    assert statuses(response) == {"database": "ok", "migrations": "error"}
    assert details(response)["migrations"] == f"{len(health.migrations_on_disk())} not applied"
    health_response = client.get("/api/v1/health")
    assert health_response.status_code == 503
    assert statuses(health_response)["worker"] == "unknown"


def test_a_database_that_hangs_does_not_hang_health(
    client: Client,
    usual_budget: None,
    use_database: Callable[[str], None],
    private_postgres: Callable[[], PrivatePostgres],
    stopped: Callable[[int], None],
) -> None:
    server = private_postgres()
    use_database(server.url)
    stopped(server.pid)
    assert health.BUDGET_SECONDS == 1.0
    assert details(client.get("/api/v1/readiness"))["database"] == "no answer within 1 s"
    response = client.get("/api/v1/health")
    assert response.status_code == 503
    assert details(response)["database"] == "no answer within 1 s"
    assert statuses(response)["broker"] == "ok"


@pytest.mark.django_db(transaction=True)
def test_a_broker_that_hangs_does_not_hang_health(
    client: Client,
    settings: Any,
    private_valkey: Callable[[], PrivateValkey],
    stopped: Callable[[int], None],
) -> None:
    server = private_valkey()
    settings.REDIS_URL = server.url
    stopped(server.pid)
    response = client.get("/api/v1/health")
    assert response.status_code == 200
    assert statuses(response)["broker"] == "error"


def test_a_hanging_check_is_not_started_again() -> None:
    started: list[health.Run] = []
    release = threading.Event()

    def ask(run: health.Run) -> None:
        started.append(run)
        release.wait()

    probe = health.Probe(("database",), ask)
    first, second = probe.start(), probe.start()
    assert first is second
    assert len(started) == 1
    release.set()
    assert first.thread is not None
    first.thread.join()
    probe.start()
    assert len(started) == 2


def test_a_check_that_breaks_says_so() -> None:
    def ask(_run: health.Run) -> None:
        raise RuntimeError("planted-secret")

    checks = health.run_checks(health.Probe(("database",), ask))
    assert checks["database"].status == "error"
    assert checks["database"].detail == "the check itself failed; see the log"


@pytest.mark.django_db(transaction=True)
def test_readiness_asks_at_most_once_a_second(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [monotonic()]
    asked: list[str] = []
    real = psycopg.connect

    def connect(**parameters: Any) -> Any:
        asked.append("database")
        return real(**parameters)

    ready = health.Readiness()
    monkeypatch.setattr(psycopg, "connect", connect)
    monkeypatch.setattr(health, "readiness", ready)
    monkeypatch.setattr(health, "monotonic", lambda: now[0])
    for _ in range(5):
        assert client.get("/api/v1/readiness").json()["status"] == "ready"
    assert len(asked) == 1
    now[0] += 1.0
    client.get("/api/v1/readiness")
    assert len(asked) == 2


def test_a_squashed_migration_is_applied_when_all_that_it_replaces_are() -> None:
    replaced = (("app", "0001"), ("app", "0002"))
    squashed = ("app", "0001_squashed_0002")
    assert health.is_applied(squashed, replaced, {*replaced})
    assert not health.is_applied(squashed, replaced, {replaced[0]})
    assert health.is_applied(squashed, replaced, {squashed})
    assert not health.is_applied(squashed, (), set())


@pytest.mark.parametrize("path", ["health", "readiness", "ping"])
def test_health_is_only_read(client: Client, path: str) -> None:
    assert client.post(f"/api/v1/{path}").status_code == 405


# --- The parts ---

OK, BAD, UNKNOWN = (health.Check(status, 1.0, "") for status in ("ok", "error", "unknown"))


@pytest.mark.parametrize(
    ("database", "migrations", "worker", "can_serve", "overall"),
    [
        (OK, OK, OK, True, "ok"),
        (OK, OK, BAD, True, "degraded"),
        (OK, OK, UNKNOWN, True, "degraded"),
        (OK, BAD, OK, False, "error"),
        (OK, UNKNOWN, OK, False, "error"),
        (BAD, OK, OK, False, "error"),
    ],
)
def test_requests_are_served_with_a_database_that_has_its_migrations(
    database: health.Check, migrations: health.Check, worker: health.Check, can_serve: bool, overall: str
) -> None:
    checks = {"database": database, "migrations": migrations, "worker": worker}
    assert (health.can_serve(checks), health.overall(checks)) == (can_serve, overall)


def test_check_that_breaks_keeps_what_it_has_found() -> None:
    def ask(run: health.Run) -> None:
        run.report("database", "ok", "answered")
        raise RuntimeError

    checks = health.run_checks(health.Probe(("database", "migrations"), ask))
    assert (checks["database"].status, checks["database"].detail) == ("ok", "answered")
    assert checks["migrations"].status == "error"


def block(release: threading.Event) -> None:
    release.wait()


def test_check_without_an_answer_in_time_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    monkeypatch.setattr(health, "BUDGET_SECONDS", 0.01)
    checks = health.run_checks(health.Probe(("database",), lambda _run: block(release)))
    release.set()
    assert checks == {"database": health.Check("error", 10.0, "no answer within 1 s")}


def test_time_of_a_check_is_in_milliseconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "monotonic", lambda: 20.01234)
    run = health.Run(started=20.0)
    run.report("database", "ok", "answered")
    assert run.checks == {"database": health.Check("ok", 12.3, "answered")}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("read_only", "found"),
    [("off", ("ok", "answered")), ("on", ("error", DESCRIPTIONS[Reason.READ_ONLY]))],
)
def test_database_that_refuses_to_write_is_an_error(read_only: str, found: tuple[str, str]) -> None:
    run = health.Run()
    with psycopg.connect(**connection.get_connection_params()) as asking:
        asking.execute(f"SET TRANSACTION READ {'ONLY' if read_only == 'on' else 'WRITE'}")
        health.check_writes(run, asking)
    assert (run.checks["database"].status, run.checks["database"].detail) == found


def test_a_postgresql_that_is_too_old_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "OLDEST_POSTGRESQL", 99)
    run = health.Run()
    with psycopg.connect(**connection.get_connection_params()) as asking:
        health.check_writes(run, asking)
    found = run.checks["database"]
    assert (found.status, found.detail) == ("error", "is too old: PostgreSQL 99 or later is required")


@pytest.mark.parametrize(
    ("method", "status", "allow", "content_type", "text"),
    [
        ("GET", 200, None, "application/json", b'{"status": "ok"}'),
        ("HEAD", 200, None, "application/json", b'{"status": "ok"}'),
        ("POST", 405, "GET, HEAD", "text/plain", b""),
        (None, 405, "GET, HEAD", "text/plain", b""),
    ],
)
def test_ping_answers_that_the_process_lives(
    method: str | None, status: int, allow: str | None, content_type: str, text: bytes
) -> None:
    answer = health.ping_answer({"REQUEST_METHOD": method} if method else {})
    headers = dict(answer.headers)
    assert (answer.status, answer.body) == (status, text)
    assert (headers.get("Allow"), headers["Content-Type"]) == (allow, content_type)
    assert headers.get("Cache-Control") == ("no-store" if status == 200 else None)
