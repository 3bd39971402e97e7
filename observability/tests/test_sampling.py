"""The decision whether a request is traced is the SDK's own, taken earlier."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import Decision as SdkDecision
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

from observability.spans.sampling import Decision, decide_by, unsampled_root

SAMPLER = ParentBased(TraceIdRatioBased(0.1))


@pytest.fixture(autouse=True)
def one_in_ten() -> Iterator[None]:
    decide_by(0.1)
    yield
    decide_by(None)
    Decision.ids.drawn.__dict__.clear()


def test_a_request_is_sampled_exactly_when_the_sdk_would_sample_its_trace() -> None:
    provider = TracerProvider(sampler=SAMPLER, id_generator=Decision.ids, shutdown_on_exit=False)
    tracer = provider.get_tracer("test")
    seen = {True: 0, False: 0}
    for _ in range(2000):
        unsampled = unsampled_root()
        if unsampled is None:
            assert tracer.start_span("request", Context()).is_recording()
        else:
            trace_id = unsampled.get_span_context().trace_id
            assert SAMPLER.should_sample(Context(), trace_id, "request").decision is SdkDecision.DROP
        seen[unsampled is None] += 1
    assert seen[True] > 0 < seen[False]


def test_a_request_that_is_not_sampled_has_ids_and_says_so() -> None:
    decide_by(0.0)
    span = unsampled_root()
    assert span is not None
    context = span.get_span_context()
    assert context.is_valid
    assert not context.is_remote
    assert not context.trace_flags.sampled
    assert not span.is_recording()


def test_the_id_that_was_drawn_is_used_once() -> None:
    decide_by(1.0)
    assert unsampled_root() is None
    drawn = Decision.ids.drawn.trace_id
    assert Decision.ids.generate_trace_id() == drawn
    assert Decision.ids.generate_trace_id() != drawn


def test_a_sampler_of_the_environment_decides_alone() -> None:
    decide_by(None)
    assert unsampled_root() is None
    assert not hasattr(Decision.ids.drawn, "trace_id")
