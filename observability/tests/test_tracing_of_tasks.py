"""A task goes on in the trace of the request that queued it, through publish, run and outgoing calls."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests
from celery import Celery
from django.core.cache import caches
from kombu.exceptions import OperationalError
from opentelemetry import trace
from opentelemetry.instrumentation.requests import RequestsInstrumentor
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

from core.doorbell import Doorbell
from core.request_id import request_id
from observability.alerts.delivery.send import post
from observability.notifiers.base import OutgoingRequest
from observability.tasks import deliver_channel
from observability.telemetry import celery_signals  # noqa: F401  (connects its handlers)
from observability.telemetry.metrics.exposition import OPENMETRICS, write_metrics
from observability.telemetry.traces import outgoing
from observability.telemetry.traces.tasks import TracedTask, running
from observability.tests.recorded import Recording, is_child_of, recording, trace_id_of
from observability.tests.vendors import SLACK_OK, Vendor
from observability.tests.waiting import ANSWER_SECONDS, PATIENCE_SECONDS, wait_until
from observability.tracing import current_trace, get_tracer

pytestmark = pytest.mark.django_db

RING = Doorbell.ring  # conftest.py replaces it for every test


@pytest.fixture
def recorded() -> Iterator[Recording]:
    with recording() as found:
        yield found


@pytest.fixture
def app(redis_url: str) -> Iterator[Celery]:
    """An application whose tasks run when the test says so."""
    made: Any = Celery("traced", broker=redis_url, set_as_current=False, task_cls=TracedTask)
    yield made
    made.close()


def run_next(app: Celery) -> None:
    """What a worker does with the next message in the queue."""
    from celery.app.trace import build_tracer

    with app.connection_for_read() as connection, connection.SimpleQueue("celery") as queue:
        message = queue.get(timeout=PATIENCE_SECONDS)
        message.ack()
        task = app.tasks[message.headers["task"]]
        args, kwargs, _ = message.payload
        run = build_tracer(task.name, task, app=app)
        run(message.headers["id"], args, kwargs, {**message.headers, "delivery_info": {}, "hostname": "test"})


def attributes_of(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def test_publish_and_run_are_in_the_trace_of_the_caller(recorded: Recording, app: Celery) -> None:
    seen: list[Any] = []

    @app.task(name="sample.add")
    def add(one: int, two: int) -> None:
        seen.append((one + two, current_trace(), request_id.get()))

    request_id.set("request-0003")
    with get_tracer("test").start_as_current_span("request"):
        add.delay(1, 2)
    request_id.set("")
    run_next(app)

    request = recorded.named("request")
    publish, run = recorded.named("apply_async/sample.add"), recorded.named("run/sample.add")
    assert is_child_of(publish, request)
    assert is_child_of(run, publish)
    assert (publish.kind, run.kind) == (SpanKind.PRODUCER, SpanKind.CONSUMER)
    assert attributes_of(run)["celery.state"] == "SUCCESS"
    assert attributes_of(run)["amani.request_id"] == "request-0003"
    assert attributes_of(publish)["messaging.message.id"] == attributes_of(run)["messaging.message.id"]
    assert [(total, here.trace_id, identifier) for total, here, identifier in seen] == [
        (3, trace_id_of(request), "request-0003")
    ]
    assert running == {}
    assert current_trace() is None


def test_a_failed_task_is_an_error_with_its_exception(recorded: Recording, app: Celery) -> None:
    @app.task(name="traced.fail")
    def fail() -> None:
        raise ValueError("broken on purpose")

    fail.delay()
    run_next(app)

    run = recorded.named("run/traced.fail")
    assert run.status.status_code is StatusCode.ERROR
    assert [event.name for event in run.events] == ["exception"]
    assert attributes_of(run)["celery.state"] == "FAILURE"
    assert attributes_of(run)["error.type"] == "ValueError"
    assert current_trace() is None
    line = f'outcome="failure",task="traced.fail"}} 1.0 # {{trace_id="{trace_id_of(run)}"}} 1.0 '
    assert f"amani_celery_tasks_total{{{line}" in write_metrics(OPENMETRICS).decode()


def test_a_publish_that_fails_ends_its_span_and_leaves_nothing_current(recorded: Recording) -> None:
    app = Celery("unreachable", broker="redis://127.0.0.1:9/0", set_as_current=False, task_cls=TracedTask)

    @app.task(name="sample.nobody")
    def nobody() -> None:
        """Nobody will run it."""

    with get_tracer("test").start_as_current_span("request") as request:
        with pytest.raises(OperationalError):
            nobody.apply_async(retry=False)
        assert trace.get_current_span() is request
    app.close()

    publish = recorded.named("apply_async/sample.nobody")
    assert publish.end_time is not None
    assert publish.status.status_code is StatusCode.ERROR


def test_a_task_that_nobody_sampled_makes_no_span(app: Celery) -> None:
    @app.task(name="sample.quiet")
    def quiet() -> None:
        """Does nothing."""

    with recording(rate=0.0) as found:
        with get_tracer("test").start_as_current_span("request"):
            quiet.delay()
        run_next(app)
        assert found.spans() == []


def test_an_outgoing_call_is_a_span_and_carries_the_trace(recorded: Recording) -> None:
    outgoing.instrument(trace.get_tracer_provider())  # type: ignore[arg-type]
    vendor = Vendor(SLACK_OK)
    request_id.set("request-0005")
    with get_tracer("test").start_as_current_span("request"):
        requests.post(f"{vendor.url}/somewhere?token=hidden", json={}, timeout=ANSWER_SECONDS)
    request_id.set("")
    vendor.close()
    RequestsInstrumentor().uninstrument()

    call = recorded.named("POST")
    assert is_child_of(call, recorded.named("request"))
    assert call.kind is SpanKind.CLIENT
    assert attributes_of(call)["http.response.status_code"] == 200
    assert attributes_of(call)["amani.request_id"] == "request-0005"
    assert vendor.received[0].headers["X-Request-ID"] == "request-0005"
    assert call.context is not None
    assert vendor.received[0].headers["traceparent"] == (
        f"00-{trace_id_of(call)}-{call.context.span_id:016x}-{call.context.trace_flags:02x}"
    )


def test_a_message_to_a_vendor_is_a_span_and_carries_the_trace(recorded: Recording, settings: Any) -> None:
    settings.NOTIFIER_READ_TIMEOUT = ANSWER_SECONDS
    outgoing.instrument(trace.get_tracer_provider())  # type: ignore[arg-type]
    vendor = Vendor(SLACK_OK)
    with get_tracer("test").start_as_current_span("deliver to slack"):
        post(OutgoingRequest(vendor.url, {"text": "hello"}))
    vendor.close()
    RequestsInstrumentor().uninstrument()

    call = recorded.named("POST")
    assert is_child_of(call, recorded.named("deliver to slack"))
    assert attributes_of(call)["http.response.status_code"] == 200
    assert call.context is not None
    assert vendor.received[0].headers["traceparent"] == (
        f"00-{trace_id_of(call)}-{call.context.span_id:016x}-{call.context.trace_flags:02x}"
    )


def test_the_cache_is_traced_inside_a_sampled_request_only(
    recorded: Recording, redis_url: str, settings: Any
) -> None:
    settings.CACHES = {"default": settings.CACHES["default"] | {"LOCATION": redis_url}}
    cache = caches["default"]
    cache.set("before", 1)
    with get_tracer("test").start_as_current_span("request"):
        cache.set("person@example.com", 2)
        assert cache.get("person@example.com") == 2
    cache.delete("before")

    assert [span.name for span in recorded.spans()] == ["cache set", "cache get", "request"]
    assert "person" not in "".join(span.to_json() for span in recorded.spans())


def test_the_doorbell_rings_in_the_trace_of_whoever_pressed_it(
    recorded: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    rung: list[Any] = []

    def publish(*_: Any, **__: Any) -> None:
        rung.append((current_trace(), request_id.get()))

    monkeypatch.setattr("core.doorbell.publish", publish)
    request_id.set("request-0004")
    with get_tracer("test").start_as_current_span("webhook"):
        RING(Doorbell(deliver_channel.name), "slack")
    request_id.set("")

    assert wait_until(lambda: bool(rung))
    here, identifier = rung[0]
    assert here.trace_id == trace_id_of(recorded.named("webhook"))
    assert identifier == "request-0004"
