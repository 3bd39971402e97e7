"""Real gunicorn and Celery processes are one program to a scrape, however they die."""

import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import psutil
import pytest
import requests
from kombu import Connection

from core.request_id import request_id
from observability.telemetry.metrics.slots import live_slots
from observability.tests import sample_celery
from observability.tests.processes import (
    Scrape,
    celery,
    gunicorn,
    is_answered,
    send,
    task_samples,
    wait_until,
)
from observability.tests.waiting import ANSWER_SECONDS
from tests.installation import children_of

pytestmark = pytest.mark.processes


def test_requests_answered_are_requests_counted_across_recycled_and_killed_workers(
    scrape: Scrape, free_port: Callable[[], int]
) -> None:
    answered = 0
    killed = False
    with gunicorn(scrape, free_port(), WEB_MAX_REQUESTS="50") as web:
        while answered < 400:
            with suppress(requests.ConnectionError):  # of a worker that just left
                answered += web.get("/fine").status_code == 200
            if answered == 200 and not killed:
                killed = True
                os.kill(scrape.processes("web")[0], signal.SIGKILL)
        assert scrape("http_requests_total", endpoint="/fine", status="200") == 400
        assert scrape("http_request_duration_seconds_count", endpoint="/fine") == 400
        wait_until(lambda: len(scrape.processes("web")) == 2, "both workers are back")
        assert scrape.files() <= 4 * 2 + 3


def test_a_killed_web_worker_leaves_no_request_and_no_connection_behind(
    scrape: Scrape, free_port: Callable[[], int]
) -> None:
    with gunicorn(scrape, free_port(), WEB_CONCURRENCY="1") as web:
        assert web.get("/query").status_code == 200
        assert scrape("db_connections_active") == 1

        def hang() -> None:
            with suppress(requests.RequestException):
                web.get("/slow")

        client = threading.Thread(target=hang)
        client.start()
        wait_until(lambda: scrape("http_requests_in_progress") == 1, "a request is in progress")
        (victim,) = scrape.processes("web")
        os.kill(victim, signal.SIGKILL)
        client.join()
        wait_until(lambda: victim not in scrape.processes("web"), "the worker is dead")
        assert scrape("http_requests_in_progress") == 0
        assert scrape("db_connections_active") == 0
        wait_until(web.answers, "the next worker answers")
        assert scrape("http_requests_in_progress") == 0
        assert scrape("http_requests_total", endpoint="/query") == 1


def test_a_sent_file_and_a_client_that_leaves_are_counted_once_and_no_longer_in_progress(
    scrape: Scrape, free_port: Callable[[], int]
) -> None:
    with gunicorn(scrape, free_port()) as web:
        assert web.get("/file").content.startswith(b'"""An application')
        with web.get("/endless", stream=True) as response:
            parts = response.iter_content(5)  # kept, because dropping it closes the connection
            assert next(parts) == b"more "
            # The file may be here before the server is done with it.
            wait_until(lambda: scrape("http_requests_in_progress") == 1, "only the stream goes on")
        timed = partial(scrape, "http_request_duration_seconds_count", endpoint="/endless")
        wait_until(lambda: timed() == 1, "the stream has ended")
        assert scrape("http_requests_in_progress") == 0
        assert scrape("http_requests_total", endpoint="/file") == 1
        assert scrape("http_requests_total", endpoint="/endless") == 1


def test_a_web_worker_shares_what_was_imported_before_it(
    scrape: Scrape, free_port: Callable[[], int]
) -> None:
    with gunicorn(scrape, free_port(), WEB_CONCURRENCY="1") as web:
        (worker,) = children_of(web.process.pid)
        memory = psutil.Process(worker).memory_full_info()
        assert memory.uss < memory.rss / 2


def test_the_application_boots_and_answers_with_database_and_broker_down(
    scrape: Scrape, free_port: Callable[[], int]
) -> None:
    closed = free_port()
    variables = {
        "DATABASE_URL": f"postgresql://nobody@127.0.0.1:{closed}/nothing",
        "REDIS_URL": f"redis://127.0.0.1:{closed}/0",
        "WEB_CONCURRENCY": "1",
    }
    with gunicorn(scrape, free_port(), **variables) as web:
        assert web.get("/api/v1/ping").json() == {"status": "ok"}
        assert web.get("/metrics").status_code == 200
        assert web.get("/api/v1/readiness").status_code == 503
        checks = web.get("/api/v1/health").json()["checks"]
        assert (checks["database"]["status"], checks["broker"]["status"]) == ("error", "error")


def test_every_task_of_recycled_children_is_seen_in_one_scrape(scrape: Scrape, redis_url: str) -> None:
    with (
        celery(scrape, redis_url, "--concurrency=4", "--max-tasks-per-child=20"),
        Connection(redis_url) as broker,
    ):
        shown = {tuple(sorted(one.labels.items())) for one in task_samples()}
        assert (("outcome", "retry"), ("task", "sample.touch")) in shown
        for _ in range(200):
            send(sample_celery.touch, broker)
        send(sample_celery.fail, broker)
        succeeded = {"task": "sample.touch", "outcome": "success"}
        wait_until(lambda: scrape("amani_celery_tasks_total", **succeeded) >= 200, "all tasks are counted")
        failed = {"task": "sample.fail", "outcome": "failure"}
        wait_until(lambda: scrape("amani_celery_tasks_total", **failed) == 1, "the failure is counted")
        assert scrape("amani_celery_tasks_total", **succeeded) == 200
        assert scrape("amani_celery_task_duration_seconds_count", task="sample.touch") == 200
        wait_until(lambda: len(scrape.processes("worker")) == 5, "four children and their parent live")
        assert scrape.files() <= 4 * 5 + 3


def test_a_killed_celery_child_leaves_no_connection_behind(
    scrape: Scrape, redis_url: str, free_port: Callable[[], int]
) -> None:
    own = f"127.0.0.1:{free_port()}"
    with celery(scrape, redis_url, "--concurrency=1", METRICS_BIND=own), Connection(redis_url) as broker:
        send(sample_celery.hold_connection, broker)
        wait_until(lambda: scrape("db_connections_active") == 1, "the task holds a connection")
        shown = requests.get(f"http://{own}/metrics", timeout=ANSWER_SECONDS).text
        assert "\ndb_connections_active 1.0\n" in shown
        (victim,) = (pid for name, pid in live_slots(scrape.directory).items() if name == "worker-0")
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: victim not in scrape.processes("worker"), "the child is dead")
        assert scrape("db_connections_active") == 0
        (main,) = (pid for name, pid in live_slots(scrape.directory).items() if name == "worker-main-0")
        servers = set(children_of(main)) - set(scrape.processes("worker"))
        for server in servers:  # of them one may be a child of the pool that has no slot yet
            os.kill(server, signal.SIGKILL)
        wait_until(lambda: is_answered(f"http://{own}/api/v1/ping"), "the worker's own server is back")


def test_a_task_knows_the_request_that_caused_it(scrape: Scrape, redis_url: str, tmp_path: Path) -> None:
    answer = tmp_path / "request-id"
    with celery(scrape, redis_url, "--concurrency=1"), Connection(redis_url) as broker:
        token = request_id.set("request-0001")
        send(sample_celery.write_request_id, broker, str(answer))
        request_id.reset(token)
        wait_until(answer.exists, "the task has run")
        assert answer.read_text() == "request-0001"
        answer.unlink()
        send(sample_celery.write_request_id, broker, str(answer))
        wait_until(answer.exists, "the second task has run")
        assert answer.read_text() == ""
