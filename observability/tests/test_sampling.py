"""The decision about a request is that of the SDK's own sampler, and the SDK comes to the same one."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.exceptions import MiddlewareNotUsed
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory
from opentelemetry import baggage, trace
from opentelemetry.context import Context
from opentelemetry.instrumentation.wsgi import collect_request_attributes
from opentelemetry.sdk.trace.sampling import Decision, ParentBased, TraceIdRatioBased
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, TraceFlags, TraceState

from observability.telemetry.request import telemetry_of
from observability.telemetry.traces import instrumentation
from observability.telemetry.traces.instrumented_request import READ, InstrumentedRequest
from observability.telemetry.traces.requests import TracingMiddleware
from observability.telemetry.traces.sampling import HeadSampler
from observability.tests.recorded import Recording, recording, trace_id_of

STRANGER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def on(settings: Any) -> None:
    settings.TRACING_ENABLED = True


@pytest.fixture
def recorded(on: None) -> Iterator[Recording]:
    with recording() as found:
        yield found


def answer(request: HttpRequest, view: Any = lambda _request: HttpResponse("fine")) -> Any:
    """What the middleware alone makes of `request`."""
    return TracingMiddleware(view)(request)


@pytest.mark.parametrize("rate", [0.0, 0.001, 0.1, 0.5, 1.0])
def test_a_trace_is_sampled_by_the_rule_of_the_sdk(rate: float) -> None:
    ours, theirs = HeadSampler(rate), TraceIdRatioBased(rate)
    edges = [1, theirs.bound - 1, theirs.bound, TraceIdRatioBased.TRACE_ID_LIMIT, 1 << 64]
    for trace_id in (*edges, *(random.getrandbits(128) for _ in range(200))):
        expected = theirs.should_sample(None, trace_id, "GET").decision
        assert ours.samples(trace_id) is (expected is Decision.RECORD_AND_SAMPLE)
        assert ours.should_sample(None, trace_id, "GET").decision is expected


@pytest.mark.parametrize("flags", [TraceFlags.DEFAULT, TraceFlags.SAMPLED])
@pytest.mark.parametrize("is_remote", [False, True])
def test_a_span_with_a_parent_is_sampled_as_the_sdk_would(flags: int, is_remote: bool) -> None:
    parent = SpanContext(7, 8, is_remote, TraceFlags(flags), TraceState([("vendor", "7")]))
    around = trace.set_span_in_context(NonRecordingSpan(parent), Context())
    attributes = {"db.system.name": "postgresql"}
    for rate in (0.0, 1.0):
        ours, theirs = HeadSampler(rate), ParentBased(TraceIdRatioBased(rate))
        found, expected = (
            sampler.should_sample(around, 7, "SELECT", SpanKind.CLIENT, attributes)
            for sampler in (ours, theirs)
        )
        assert found.decision is expected.decision
        assert found.trace_state == expected.trace_state == parent.trace_state
        assert found.attributes == expected.attributes


def test_the_instrumentation_makes_the_same_of_what_it_sees_as_of_the_whole_request() -> None:
    environ = RequestFactory().get("/fine", headers={"host": "amani.example", "user-agent": "Tests"}).environ
    environ |= {"REMOTE_PORT": "50000", "REMOTE_HOST": "client.example", "RAW_URI": "/fine"}
    seen = InstrumentedRequest(WSGIRequest(environ), READ).META
    whole, part = map(collect_request_attributes, (environ, seen))
    assert part == whole
    assert len(part) >= 9


def test_headers_that_the_operator_asks_for_are_captured(on: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_REQUEST", "x-region")
    monkeypatch.setenv("OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_RESPONSE", "x-answered-by")
    request = RequestFactory().get("/fine", headers={"x-region": "east", "traceparent": STRANGER})
    with recording() as found:
        answer(request, lambda _request: HttpResponse(headers={"X-Answered-By": "view"}))
        span = found.named("GET")
    assert span.parent is None
    assert (span.attributes or {})["http.request.header.x_region"] == ("east",)
    assert (span.attributes or {})["http.response.header.x_answered_by"] == ("view",)


def test_the_sdk_samples_what_was_decided_and_nothing_else(on: None) -> None:
    sampled: set[str] = set()
    with recording(rate=0.5) as found:
        for _ in range(100):
            request = RequestFactory().get("/fine")
            answer(request)
            here = telemetry_of(request).trace
            assert here is not None
            assert HeadSampler(0.5).samples(int(here.trace_id, 16)) is here.sampled
            if here.sampled:
                sampled.add(here.trace_id)
        assert {trace_id_of(span) for span in found.spans()} == sampled
    assert 0 < len(sampled) < 100


def test_a_span_that_begins_another_trace_inside_a_request_has_an_id_of_its_own(recorded: Recording) -> None:
    def view(_request: HttpRequest) -> HttpResponse:
        trace.get_tracer("test").start_span("apart", Context()).end()
        return HttpResponse()

    answer(RequestFactory().get("/fine"), view)
    assert trace_id_of(recorded.named("apart")) != trace_id_of(recorded.named("GET"))


def test_a_request_that_is_not_sampled_never_meets_the_instrumentation(
    on: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise AssertionError

    for name in ("process_request", "process_view", "process_response"):
        monkeypatch.setattr(f"{instrumentation.IN_SETTINGS}.{name}", fail)
    with recording(rate=0.0):
        assert Client().get("/api/v1/ping").status_code == 200


def test_a_trusted_caller_that_is_not_sampled_gives_only_its_trace_id(
    recorded: Recording, settings: Any
) -> None:
    from ipaddress import ip_network

    settings.TRACING_TRUSTED_NETWORKS = [ip_network("127.0.0.0/8")]
    request = RequestFactory().get(
        "/fine", headers={"traceparent": STRANGER[:-2] + "00", "tracestate": "vendor=7"}
    )
    carried: list[str] = []

    def view(_request: HttpRequest) -> HttpResponse:
        place = trace.get_current_span().get_span_context()
        carried.append(f"{place.trace_id:032x} {place.trace_flags.sampled} {place.trace_state.to_header()}")
        return HttpResponse()

    answer(request, view)
    assert carried == [f"{STRANGER.split('-')[1]} False vendor=7"]
    assert recorded.spans() == []


def test_a_strangers_baggage_goes_nowhere(recorded: Recording) -> None:
    seen: list[Any] = []

    def view(_request: HttpRequest) -> HttpResponse:
        seen.append(dict(baggage.get_all()))
        return HttpResponse()

    request = RequestFactory().get("/fine", headers={"baggage": "planted=1", "traceparent": STRANGER})
    answer(request, view)
    assert seen == [{}]
    assert request.headers["traceparent"] == STRANGER  # the view still sees what was sent


def test_a_query_is_in_no_span(recorded: Recording) -> None:
    answer(RequestFactory().get("/fine?token=hidden", RAW_URI="/fine?token=hidden"))
    (span,) = recorded.spans()
    assert (span.attributes or {})["url.path"] == "/fine"
    assert "hidden" not in span.to_json()


@pytest.mark.django_db
def test_a_probe_is_sampled_under_a_host_that_django_refuses(recorded: Recording) -> None:
    assert Client().get("/api/v1/ping", headers={"host": "amani_web:8000"}).status_code == 200
    span = recorded.named("GET /api/v1/ping")
    assert (span.attributes or {})["server.address"] == "amani_web:8000"


@pytest.mark.parametrize("problem", [SystemExit, ValueError])
def test_what_ends_a_worker_ends_its_span_and_leaves_nothing_current(
    recorded: Recording, problem: type[BaseException]
) -> None:
    def view(_request: HttpRequest) -> HttpResponse:
        raise problem

    with pytest.raises(problem):
        answer(RequestFactory().get("/fine"), view)
    (span,) = recorded.spans()
    assert span.kind is SpanKind.SERVER
    assert (span.attributes or {})["http.response.status_code"] == 500
    assert (span.attributes or {})["error.type"] == problem.__name__
    assert trace.get_current_span() is trace.INVALID_SPAN


def test_what_another_request_left_current_is_no_parent(recorded: Recording) -> None:
    with trace.get_tracer("test").start_as_current_span("left behind"):
        answer(RequestFactory().get("/fine"))
    (span,) = (span for span in recorded.spans() if span.kind is SpanKind.SERVER)
    assert span.parent is None


def test_the_instrumentation_is_in_no_list_of_middlewares(recorded: Recording, settings: Any) -> None:
    before = list(settings.MIDDLEWARE)
    answer(RequestFactory().get("/fine"))
    assert before == settings.MIDDLEWARE
    assert instrumentation.IN_SETTINGS not in settings.MIDDLEWARE


def test_an_operator_can_switch_the_instrumentation_off(on: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_PYTHON_DJANGO_INSTRUMENT", "False")
    with pytest.raises(MiddlewareNotUsed):
        TracingMiddleware(lambda _request: HttpResponse())
