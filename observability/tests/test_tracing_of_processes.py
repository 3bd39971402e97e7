"""A process that ends has counted all its spans, however it ends and whether the collector answers or not.

The counts are in metric files that outlive the process, so the number of spans that a kill -9 lost is known.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from kombu import Connection

from observability.tests import sample_celery
from observability.tests.otlp import OtlpReceiver
from observability.tests.patient_exit import HELD_UP
from observability.tests.processes import Scrape, Web, celery, gunicorn, send, wait_until
from observability.tests.waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.processes

LATER = "600000"  # nothing leaves by itself, so that the end has everything to send
REQUESTS = 20


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    with OtlpReceiver() as running:
        yield running


def variables(endpoint: str, **more: str) -> dict[str, str]:
    return {
        "TRACING_ENABLED": "true",
        "TRACING_EXPORTER": "otlp",
        "TRACING_SAMPLE_RATE": "1",
        "OTLP_ENDPOINT": endpoint,
        "OTLP_PROTOCOL": "http/protobuf",
        "WEB_CONCURRENCY": "1",
        **more,
    }


@contextmanager
def silent_server() -> Iterator[str]:
    """Takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def get(web: Web, count: int) -> None:
    for _ in range(count):
        assert web.get("/fine").status_code == 200


def accounts(scrape: Scrape) -> dict[str, float]:
    """Of the sampled spans: how many ended, were taken, were dropped; the rest a kill -9 lost."""
    ended = scrape("amani_tracing_spans_ended_total")
    exported = scrape("amani_tracing_spans_exported_total")
    dropped = scrape("amani_tracing_spans_dropped_total")
    return {"ended": ended, "exported": exported, "dropped": dropped, "lost": ended - exported - dropped}


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_a_web_worker_that_is_told_to_stop_sends_what_waits(
    scrape: Scrape, free_port: Callable[[], int], receiver: OtlpReceiver, protocol: str
) -> None:
    endpoint = receiver.grpc_url if protocol == "grpc" else receiver.http_url
    options = variables(endpoint, OTLP_PROTOCOL=protocol, OTEL_BSP_SCHEDULE_DELAY=LATER)
    with gunicorn(scrape, free_port(), **options) as web:
        get(web, REQUESTS)
        assert receiver.spans() == []
        web.process.terminate()
        web.process.wait(PATIENCE_SECONDS)
    spans = receiver.named("GET /fine")
    assert len(spans) == REQUESTS
    assert accounts(scrape) == {"ended": REQUESTS, "exported": REQUESTS, "dropped": 0, "lost": 0}
    resource = spans[0].resource
    assert resource["service.name"] == "amani-backend"
    assert resource["amani.process"] == "web"


def test_a_kill_loses_what_waits_and_the_metrics_say_how_much(
    scrape: Scrape, free_port: Callable[[], int], receiver: OtlpReceiver
) -> None:
    options = variables(receiver.http_url, OTEL_BSP_SCHEDULE_DELAY=LATER)
    with gunicorn(scrape, free_port(), **options) as web:
        get(web, REQUESTS)
        (victim,) = scrape.processes("web")
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: victim not in scrape.processes("web"), "the worker is dead")
        assert accounts(scrape) == {"ended": REQUESTS, "exported": 0, "dropped": 0, "lost": REQUESTS}
        wait_until(web.answers, "the next worker answers")
        get(web, 5)
        web.process.terminate()
        web.process.wait(PATIENCE_SECONDS)
    assert len(receiver.named("GET /fine")) == 5
    assert accounts(scrape)["lost"] == REQUESTS


def test_a_kill_loses_at_most_what_ended_since_the_last_batch(
    scrape: Scrape, free_port: Callable[[], int], receiver: OtlpReceiver
) -> None:
    options = variables(receiver.http_url, OTEL_BSP_SCHEDULE_DELAY="50")
    with gunicorn(scrape, free_port(), **options) as web:
        get(web, REQUESTS)
        # What has arrived is counted a moment later, and would be lost to the count.
        wait_until(lambda: accounts(scrape)["exported"] == REQUESTS, "all have left and are counted")
        (victim,) = scrape.processes("web")
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: victim not in scrape.processes("web"), "the worker is dead")
        assert accounts(scrape)["lost"] == 0


@pytest.mark.parametrize("collector", ["gone", "hanging"])
def test_a_process_ends_while_collector_and_sentry_are_down(
    scrape: Scrape, free_port: Callable[[], int], collector: str
) -> None:
    """Before an export, which may take ten minutes here, has come to its end."""
    with silent_server() as hanging:
        down = hanging if collector == "hanging" else f"http://127.0.0.1:{free_port()}"
        dsn = down.replace("//", "//key@") + "/1"
        options = variables(down, OTEL_BSP_SCHEDULE_DELAY=LATER, SENTRY_DSN=dsn) | HELD_UP
        with gunicorn(scrape, free_port(), **options) as web:
            get(web, REQUESTS)
            assert web.get("/broken").status_code == 500
            (worker,) = scrape.processes("web")
            os.kill(worker, signal.SIGTERM)
            wait_until(lambda: worker not in scrape.processes("web"), "the worker has ended")
        assert accounts(scrape)["lost"] == 0
        assert accounts(scrape)["dropped"] == REQUESTS + 1


def test_a_celery_child_that_is_replaced_after_every_task_loses_no_span(
    scrape: Scrape, redis_url: str, receiver: OtlpReceiver
) -> None:
    options = variables(receiver.http_url, OTEL_BSP_SCHEDULE_DELAY=LATER)
    with (
        celery(scrape, redis_url, "--concurrency=2", "--max-tasks-per-child=1", **options),
        Connection(redis_url) as broker,
    ):
        for _ in range(10):
            send(sample_celery.touch, broker)
        receiver.wait_for(lambda spans: len(spans) == 10)
    assert {span.name for span in receiver.spans()} == {"run/sample.touch"}
    assert receiver.spans()[0].resource["amani.process"] == "worker"
    assert accounts(scrape) == {"ended": 10, "exported": 10, "dropped": 0, "lost": 0}


def test_a_worker_that_is_told_to_stop_sends_what_its_children_hold(
    scrape: Scrape, redis_url: str, receiver: OtlpReceiver
) -> None:
    options = variables(receiver.http_url, OTEL_BSP_SCHEDULE_DELAY=LATER)
    with (
        celery(scrape, redis_url, "--concurrency=2", **options) as process,
        Connection(redis_url) as broker,
    ):
        for _ in range(10):
            send(sample_celery.touch, broker)
        wait_until(lambda: scrape("amani_celery_tasks_total", outcome="success") == 10, "all have run")
        assert receiver.spans() == []
        process.terminate()
        process.wait(PATIENCE_SECONDS)
    assert len(receiver.named("run/sample.touch")) == 10
    assert accounts(scrape)["lost"] == 0


def test_a_killed_celery_child_loses_what_waits_and_the_metrics_say_how_much(
    scrape: Scrape, redis_url: str, receiver: OtlpReceiver
) -> None:
    options = variables(receiver.http_url, OTEL_BSP_SCHEDULE_DELAY=LATER)
    with (
        celery(scrape, redis_url, "--concurrency=1", **options),
        Connection(redis_url) as broker,
    ):
        for _ in range(5):
            send(sample_celery.touch, broker)
        wait_until(lambda: scrape("amani_celery_tasks_total", outcome="success") == 5, "all have run")
        (victim,) = (pid for name, pid in scrape.live().items() if name == "worker-0")
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: victim not in scrape.processes("worker"), "the child is dead")
        assert accounts(scrape) == {"ended": 5, "exported": 0, "dropped": 0, "lost": 5}
