"""Errors of real processes: commands, gunicorn, Celery's children and the one that watches them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import requests
from kombu import Connection

from core.request_id import request_id
from observability.tests import sample_celery
from observability.tests.fake_sentry import FakeSentry
from observability.tests.processes import ROOT, Scrape, celery, gunicorn, send, wait_until
from observability.tests.waiting import COMMAND_SECONDS, PATIENCE_SECONDS

pytestmark = pytest.mark.processes

IDENTIFIER = "request-0123456789"


@contextmanager
def on_behalf_of(identifier: str) -> Iterator[None]:
    token = request_id.set(identifier)
    yield
    request_id.reset(token)


def manage(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=os.environ | {"DJANGO_SETTINGS_MODULE": "tests.process_settings"} | variables,
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
        check=False,
    )


def main_event(sentry_server: FakeSentry, error: str) -> dict[str, Any]:
    """The only event of this kind of error, once it is there."""

    def those() -> list[dict[str, Any]]:
        return [one for one in sentry_server.of("event") if one["exception"]["values"][-1]["type"] == error]

    wait_until(lambda: bool(those()), f"{error} is at Sentry")
    (event,) = those()
    return event


def test_a_command_that_fails_is_reported_without_its_arguments(sentry_server: FakeSentry) -> None:
    result = manage("shell", "-c", "raise ValueError('broken')  # planted", SENTRY_DSN=sentry_server.dsn)
    assert result.returncode == 1
    assert "ValueError: broken" in result.stderr
    event = main_event(sentry_server, "ValueError")
    assert (event["transaction"], event["level"]) == ("manage.py shell", "fatal")
    assert event["tags"] == {"amani.process": "command"}
    assert "planted" not in str(event)


def test_a_command_that_is_used_wrongly_is_no_error(sentry_server: FakeSentry) -> None:
    assert manage("migrate", "nowhere", SENTRY_DSN=sentry_server.dsn).returncode == 1
    assert sentry_server.of("event") == []


def test_a_malformed_dsn_stops_no_command() -> None:
    result = manage("shell", "-c", "print('ran')", SENTRY_DSN="https://planted-key@")
    assert (result.returncode, "ran" in result.stdout) == (0, True)
    assert "sentry_is_off" in result.stderr
    assert "planted" not in result.stderr


def test_a_worker_that_is_told_to_stop_sends_what_it_has(
    sentry_server: FakeSentry, scrape: Scrape, free_port: Callable[[], int]
) -> None:
    variables = {"SENTRY_DSN": sentry_server.dsn, "WEB_CONCURRENCY": "1"}
    with gunicorn(scrape, free_port(), **variables) as web:
        assert web.get("/broken").status_code == 500
        web.process.terminate()
        web.process.wait(PATIENCE_SECONDS)
    event = main_event(sentry_server, "BrokenViewError")
    assert (event["transaction"], event["tags"]["amani.process"]) == ("/broken", "web")


def test_a_body_that_is_incomplete_is_reported(
    sentry_server: FakeSentry, scrape: Scrape, free_port: Callable[[], int]
) -> None:
    with gunicorn(scrape, free_port(), SENTRY_DSN=sentry_server.dsn, WEB_CONCURRENCY="1") as web:
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            web.get("/breaking-off")
        event = main_event(sentry_server, "BrokenViewError")
    assert event["logger"] == "gunicorn.error"


def test_a_failed_task_is_reported_though_its_child_ends_with_it(
    sentry_server: FakeSentry, redis_url: str, scrape: Scrape
) -> None:
    options = ("--concurrency", "1", "--max-tasks-per-child", "1")
    with (
        celery(scrape, redis_url, *options, SENTRY_DSN=sentry_server.dsn),
        Connection(redis_url) as broker,
        on_behalf_of(IDENTIFIER),
    ):
        send(sample_celery.fail, broker)
        event = main_event(sentry_server, "ValueError")
    assert (event["transaction"], event["tags"]["amani.process"]) == ("sample.fail", "worker")
    assert event["tags"]["request_id"] == IDENTIFIER


def test_a_child_that_is_killed_is_reported_by_the_main_process(
    sentry_server: FakeSentry, redis_url: str, scrape: Scrape
) -> None:
    with (
        celery(scrape, redis_url, "--concurrency", "1", SENTRY_DSN=sentry_server.dsn),
        Connection(redis_url) as broker,
        on_behalf_of(IDENTIFIER),
    ):
        send(sample_celery.hold_connection, broker)
        wait_until(lambda: scrape("db_connections_active") == 1, "the task runs")
        (child,) = [pid for name, pid in scrape.live().items() if name.startswith("worker-0")]
        os.kill(child, signal.SIGKILL)
        event = main_event(sentry_server, "WorkerLostError")
    assert (event["transaction"], event["tags"]["amani.process"]) == ("sample.hold_connection", "worker-main")
    assert event["tags"]["request_id"] == IDENTIFIER
    assert sentry_server.of("event") == [event]
