"""The span of a request that continues no trace: sampled as the SDK samples, and one of its spans."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Span, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.sampling import Decision, TraceIdRatioBased
from opentelemetry.trace import SpanKind

from observability.telemetry.traces.encoding import encode
from observability.telemetry.traces.roots import SCOPE, decide_by, decide_nothing, start_root
from observability.tests.recorded import KeptSpans

RESOURCE = Resource({"service.name": "test"})


@pytest.fixture
def kept() -> Iterator[KeptSpans]:
    spans = KeptSpans()
    decide_by(0.1, RESOURCE, SimpleSpanProcessor(spans))
    yield spans
    decide_nothing()


def test_a_request_is_sampled_exactly_when_the_sdk_would_sample_its_trace(kept: KeptSpans) -> None:
    sampler = TraceIdRatioBased(0.1)
    sampled = 0
    for _ in range(2000):
        span = start_root("GET")
        assert span is not None
        context = span.get_span_context()
        expected = sampler.should_sample(Context(), context.trace_id, "GET").decision
        assert (expected is Decision.RECORD_AND_SAMPLE) is span.is_recording() is context.trace_flags.sampled
        sampled += span.is_recording()
    assert 0 < sampled < 2000


def test_a_request_that_is_not_sampled_has_ids_and_says_so(kept: KeptSpans) -> None:
    decide_by(0.0, RESOURCE, SimpleSpanProcessor(kept))
    span = start_root("GET")
    assert span is not None
    context = span.get_span_context()
    assert context.is_valid
    assert not context.is_remote
    assert not context.trace_flags.sampled
    span.end()
    assert kept.spans == []


def test_a_sampled_request_is_what_the_sdk_makes_of_it(kept: KeptSpans) -> None:
    decide_by(1.0, RESOURCE, SimpleSpanProcessor(kept))
    provider = TracerProvider(resource=RESOURCE, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(kept))
    theirs = provider.get_tracer(SCOPE.name).start_span("GET", Context(), SpanKind.SERVER)
    ours = start_root("GET")
    assert isinstance(ours, Span)
    for span in (ours, theirs):
        span.set_attribute("number", 1)
        span.end()
    messages = []
    for ended in kept.spans:
        request = encode([ended])
        message = request.resource_spans[0].scope_spans[0].spans[0]
        assert message.end_time_unix_nano >= message.start_time_unix_nano > 0
        for name in ("trace_id", "span_id", "start_time_unix_nano", "end_time_unix_nano"):
            message.ClearField(name)
        messages.append(request)
    assert messages[0] == messages[1]
    assert ours.get_span_context().trace_flags == theirs.get_span_context().trace_flags
    assert not ours.is_recording()


def test_a_sampler_of_the_environment_decides_alone() -> None:
    assert start_root("GET") is None
