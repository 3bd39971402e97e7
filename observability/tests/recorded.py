"""Tracing inside the tests' own process: one provider for all of them, whose spans go where a test says.

OpenTelemetry takes one provider for the life of a process, and tracers made at import keep to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import Sampler, SamplingResult

from observability import tracing
from observability.telemetry.traces.counting import CountedSpans
from observability.telemetry.traces.sampling import DecidedIds, Head, HeadSampler


class KeptSpans(SpanExporter):
    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def export(self, spans: Any) -> SpanExportResult:
        self.spans.extend(spans)
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Nothing to close."""


class Switch(SpanProcessor, Sampler):
    """What the test at hand uses; nothing between two tests."""

    spans: SpanProcessor | None = None
    sampler: Sampler = HeadSampler(1.0)

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        if self.spans is not None:
            self.spans.on_start(span, parent_context)

    def on_end(self, span: ReadableSpan) -> None:
        if self.spans is not None:
            self.spans.on_end(span)

    def should_sample(self, *arguments: Any, **options: Any) -> SamplingResult:
        return self.sampler.should_sample(*arguments, **options)

    def get_description(self) -> str:
        return "of the test"


switch = Switch()


class Recording:
    """The spans of one test. `spans()` sends what waits first."""

    def __init__(self) -> None:
        self.kept = KeptSpans()
        self.counted = CountedSpans(self.kept, queue_size=1000, batch_size=500, delay_seconds=60)

    def spans(self) -> list[ReadableSpan]:
        self.counted.force_flush()
        return self.kept.spans

    def named(self, name: str) -> ReadableSpan:
        found = [span for span in self.spans() if span.name == name]
        assert len(found) == 1, [span.name for span in self.spans()]
        return found[0]


@contextmanager
def recording(rate: float = 1.0) -> Iterator[Recording]:
    if not isinstance(trace.get_tracer_provider(), TracerProvider):
        provider = TracerProvider(sampler=switch, shutdown_on_exit=False, id_generator=DecidedIds())
        provider.add_span_processor(switch)
        trace.set_tracer_provider(provider)
    found = Recording()
    tracing.Running.spans = switch.spans = found.counted
    Head.sampler = switch.sampler = HeadSampler(rate)
    try:
        yield found
    finally:
        tracing.Running.spans = switch.spans = Head.sampler = None
        found.counted.stop(1.0)


def trace_id_of(span: ReadableSpan) -> str:
    assert span.context is not None
    return format(span.context.trace_id, "032x")


def is_child_of(span: ReadableSpan, parent: ReadableSpan) -> bool:
    assert parent.context is not None
    return span.parent is not None and span.parent.span_id == parent.context.span_id
