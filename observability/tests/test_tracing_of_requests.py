"""A request is a span, its statements are spans inside it, and a client cannot decide that it is traced."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode

from observability.telemetry.database import time_statement, trace_statement
from observability.telemetry.errors.trail import trail
from observability.telemetry.logs.formatting import AccessRecord, Formatter
from observability.telemetry.request import telemetry_of
from observability.telemetry.traces.current import current_trace
from observability.telemetry.traces.sampling import Head, HeadSampler
from observability.tests.recorded import Recording, is_child_of, recording, trace_id_of
from observability.tests.samples import exemplars_of
from observability.tracing import add_span_attributes, get_tracer

pytestmark = [pytest.mark.django_db, pytest.mark.urls("observability.tests.sample_urls")]

STRANGER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture(params=["sampled first", "sampled by the SDK"])
def recorded(settings: Any, request: pytest.FixtureRequest) -> Iterator[Recording]:
    """Every test runs with our decision, and with that of a sampler in OTEL_TRACES_SAMPLER."""
    settings.TRACING_ENABLED = True
    with recording() as found, traced_statements():
        if request.param == "sampled by the SDK":
            Head.sampler = None
        yield found


def traced_statements() -> Any:
    """The connection was opened before tracing began, so it has the other wrapper."""
    from django.db import connection

    return connection.execute_wrapper(trace_statement)


@pytest.fixture
def visitor() -> Client:
    return Client(raise_request_exception=False)


def test_a_request_is_a_span_with_the_stable_http_attributes(recorded: Recording, visitor: Client) -> None:
    visitor.get("/query?token=hidden", headers={"X-Request-ID": "request-0001", "User-Agent": "Tests"})

    span = recorded.named("GET /query")
    assert span.kind is SpanKind.SERVER
    assert span.parent is None
    assert dict(span.attributes or {}) == {
        "amani.request_id": "request-0001",
        "client.address": "127.0.0.1",
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "http.route": "/query",
        "network.protocol.version": "1.1",
        "server.port": 80,
        "url.scheme": "http",
        "url.path": "/query",
        "user_agent.original": "Tests",
    }


def test_a_statement_is_a_span_inside_the_request(recorded: Recording, visitor: Client) -> None:
    visitor.get("/query")

    request, statement = recorded.named("GET /query"), recorded.named("SELECT")
    assert is_child_of(statement, request)
    assert trace_id_of(statement) == trace_id_of(request)
    attributes = dict(statement.attributes or {})
    assert attributes["db.system.name"] == "postgresql"
    assert attributes["db.query.text"] == "SELECT ?"
    assert attributes["db.operation.name"] == "SELECT"


def test_a_statement_that_fails_says_so_and_lies_within_its_parent(recorded: Recording) -> None:
    from django.db import DataError, connection, transaction

    with (
        get_tracer("test").start_as_current_span("work"),
        pytest.raises(DataError),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute("SELECT 1 / 0")

    work, statement = recorded.named("work"), recorded.named("SELECT")
    assert is_child_of(statement, work)
    assert statement.status.status_code is StatusCode.ERROR
    assert (statement.attributes or {})["error.type"] == "DataError"
    times = (work.start_time, statement.start_time, statement.end_time, work.end_time)
    assert list(times) == sorted(time or 0 for time in times)
    assert statement.resource == work.resource
    assert statement.context is not None
    assert statement.context.trace_flags.sampled


def test_a_statement_outside_of_a_request_makes_no_span(recorded: Recording) -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")

    assert recorded.spans() == []


def test_an_unhandled_exception_is_on_the_span(recorded: Recording, visitor: Client) -> None:
    assert visitor.get("/broken").status_code == 500

    span = recorded.named("GET /broken")
    assert span.status.status_code is StatusCode.ERROR
    assert (span.attributes or {})["error.type"] == "BrokenViewError"
    assert [event.name for event in span.events] == ["exception"]


@pytest.mark.parametrize(
    ("path", "status", "name", "is_error"),
    [
        ("/unavailable", 503, "GET /unavailable", True),
        ("/things/7", 404, "GET /things/<int:number>", False),
        ("/no-such-page", 404, "GET", False),
        ("/forbidden", 403, "GET /forbidden", False),
    ],
)
def test_only_a_5xx_is_an_error(
    recorded: Recording, visitor: Client, path: str, status: int, name: str, is_error: bool
) -> None:
    visitor.get(path)

    span = recorded.named(name)
    assert (span.attributes or {})["http.response.status_code"] == status
    assert (span.status.status_code is StatusCode.ERROR) is is_error


def test_an_odd_method_is_no_name(recorded: Recording, visitor: Client) -> None:
    visitor.generic("BREW", "/fine")

    assert (recorded.named("HTTP /fine").attributes or {})["http.request.method"] == "_OTHER"


def test_the_span_of_a_streamed_answer_ends_with_its_headers(recorded: Recording, visitor: Client) -> None:
    response: Any = visitor.get("/streamed")
    assert recorded.named("GET /streamed").end_time is not None
    assert trace.get_current_span() is trace.INVALID_SPAN

    assert b"".join(response.streaming_content) == b"one two"
    response.close()
    assert telemetry_of(response.wsgi_request).exemplar is not None


def test_a_request_that_is_not_sampled_makes_no_span_and_has_a_trace_id(
    settings: Any, visitor: Client
) -> None:
    settings.TRACING_ENABLED = True
    with recording(rate=0.0) as found:
        response: Any = visitor.get("/query")
        assert found.spans() == []
    seen = telemetry_of(response.wsgi_request)
    assert seen.trace is not None
    assert len(seen.trace.trace_id) == 32
    assert seen.trace.sampled is False
    assert seen.exemplar is None


def test_a_request_that_is_not_sampled_leaves_the_next_one_of_its_thread_alone(
    settings: Any, visitor: Client
) -> None:
    settings.TRACING_ENABLED = True
    with recording() as found, traced_statements():
        for rate in (0.0, 1.0):
            Head.sampler = HeadSampler(rate)
            visitor.get("/query")
            assert not trail.untraced
        assert sorted(span.name for span in found.spans()) == ["GET /query", "SELECT"]


@pytest.mark.parametrize("forwarded", [{}, {"X-Forwarded-For": "127.0.0.1"}])
def test_a_strangers_traceparent_is_linked_and_not_continued(
    recorded: Recording, visitor: Client, forwarded: dict[str, str], settings: Any
) -> None:
    if forwarded:
        from ipaddress import ip_network

        settings.TRACING_TRUSTED_NETWORKS = [ip_network("127.0.0.0/8")]  # the proxy's, not the client's
    visitor.get("/fine", headers={"traceparent": STRANGER, **forwarded})

    span = recorded.named("GET /fine")
    assert span.parent is None
    assert trace_id_of(span) != STRANGER.split("-")[1]
    assert [format(link.context.trace_id, "032x") for link in span.links] == [STRANGER.split("-")[1]]


def test_a_stranger_cannot_force_a_trace(settings: Any, visitor: Client) -> None:
    settings.TRACING_ENABLED = True
    with recording(rate=0.0) as found:
        visitor.get("/fine", headers={"traceparent": STRANGER})
        assert found.spans() == []


def test_a_trusted_callers_trace_is_continued(recorded: Recording, visitor: Client, settings: Any) -> None:
    from ipaddress import ip_network

    settings.TRACING_TRUSTED_NETWORKS = [ip_network("127.0.0.0/8")]
    visitor.get("/fine", headers={"traceparent": STRANGER})

    span = recorded.named("GET /fine")
    assert trace_id_of(span) == STRANGER.split("-")[1]
    assert span.parent is not None
    assert format(span.parent.span_id, "016x") == STRANGER.split("-")[2]


@pytest.mark.parametrize("garbage", ["", "00", "zz-" + "0" * 32, "00-" + "0" * 32 + "-" + "0" * 16 + "-01"])
def test_a_garbled_traceparent_is_none(recorded: Recording, visitor: Client, garbage: str) -> None:
    assert visitor.get("/fine", headers={"traceparent": garbage}).status_code == 200

    span = recorded.named("GET /fine")
    assert span.parent is None
    assert span.links == ()


def test_the_access_line_has_the_trace(recorded: Recording, visitor: Client) -> None:
    lines: list[dict[str, Any]] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            assert isinstance(record, AccessRecord)
            lines.append(json.loads(Formatter("json").format(record)))

    logger, handler = logging.getLogger("amani.access"), Keep()
    logger.addHandler(handler)
    try:
        visitor.get("/fine")
    finally:
        logger.removeHandler(handler)

    span = recorded.named("GET /fine")
    assert span.context is not None
    assert lines[0]["trace_id"] == trace_id_of(span)
    assert lines[0]["span_id"] == format(span.context.span_id, "016x")
    assert lines[0]["sampled"] is True


def test_the_histogram_gets_the_exemplar_of_a_sampled_request(recorded: Recording, visitor: Client) -> None:
    visitor.get("/fine", headers={"X-Request-ID": "request-0002"})
    trace_id = trace_id_of(recorded.named("GET /fine"))
    shown = {"trace_id": trace_id, "request_id": "request-0002"}
    place = {"method": "GET", "endpoint": "/fine"}
    assert exemplars_of(trace_id) == [("http_request_duration_seconds_bucket", place, shown)]


def test_an_error_has_its_trace_beside_its_status_and_its_class(recorded: Recording, visitor: Client) -> None:
    visitor.get("/broken")
    trace_id = trace_id_of(recorded.named("GET /broken"))
    counters = [(name, labels) for name, labels, _ in exemplars_of(trace_id) if name.endswith("_total")]
    assert counters == [
        ("http_requests_total", {"method": "GET", "endpoint": "/broken", "status": "500"}),
        ("errors_total", {"error_type": "BrokenViewError", "endpoint": "/broken"}),
    ]


def test_the_runbooks_way_to_a_span_of_ones_own(recorded: Recording) -> None:
    with get_tracer(__name__).start_as_current_span("custom_operation"):
        add_span_attributes(user_id=7, operation="payment")
        here = current_trace()

    span = recorded.named("custom_operation")
    assert dict(span.attributes or {}) == {"user_id": 7, "operation": "payment"}
    assert here is not None
    assert here.trace_id == trace_id_of(span)


def test_outside_of_a_trace_there_is_nothing_to_add_to() -> None:
    add_span_attributes(user_id=7)
    assert current_trace() is None


def test_without_tracing_there_is_no_middleware_and_no_other_wrapper(visitor: Client, settings: Any) -> None:
    settings.TRACING_ENABLED = False
    response: Any = visitor.get("/query")

    assert telemetry_of(response.wsgi_request).trace is None
    from django.db import connection

    assert time_statement in connection.execute_wrappers
    assert trace_statement not in connection.execute_wrappers


def test_nothing_is_left_current_after_a_request(recorded: Recording, visitor: Client) -> None:
    visitor.get("/broken")
    assert not trace.get_current_span().get_span_context().is_valid
