"""What leaves over OTLP is what the SDK's own encoder makes of scrubbed spans."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    TraceState,
    set_span_in_context,
)

from observability.telemetry.traces.encoding import encode
from observability.telemetry.traces.washing import scrubbed
from observability.tests.recorded import KeptSpans

CARD = "4111 1111 1111 1111"


class Spans:
    """Spans of the SDK that have ended."""

    def __init__(self) -> None:
        self.kept = KeptSpans()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self.kept))

    def start(self, name: str = "one", scope: str = "test", **options: Any) -> Span:
        return self.provider.get_tracer(scope, "1.0", attributes={"a": 1}).start_span(name, **options)

    def ended(self) -> list[ReadableSpan]:
        return self.kept.spans


def assert_same(spans: list[ReadableSpan]) -> None:
    assert spans
    assert encode(spans) == encode_spans([scrubbed(span) for span in spans])


@pytest.mark.parametrize("kind", SpanKind)
def test_a_span_of_each_kind(kind: SpanKind) -> None:
    spans = Spans()
    spans.start(kind=kind).end()
    assert_same(spans.ended())


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"text": "words", "number": 3, "one": 1, "true": True, "share": 1.0, "none": "", "minus": -1},
        {"one": True},  # which equals 1 and 1.0
        {"one": 1.0},
        {"texts": ["a", CARD], "numbers": [1, 2]},
        {"long": "x" * 1000, "password": "hunter2hunter2", "note": f"card {CARD}"},
        {"broken": "\udc80", "text": "words"},
    ],
)
def test_attributes_of_every_type(attributes: dict[str, Any]) -> None:
    spans = Spans()
    for _ in range(2):  # the second finds what the first has left behind
        spans.start(attributes=attributes).end()
    assert_same(spans.ended())


def test_spans_of_several_scopes_with_events_links_a_failure_and_parents() -> None:
    spans = Spans()
    remote = SpanContext(
        7, 8, is_remote=True, trace_flags=TraceFlags(1), trace_state=TraceState([("a", "b")])
    )
    caller = set_span_in_context(NonRecordingSpan(remote), Context())
    parent = spans.start("parent", context=caller)
    child = spans.start("child", "other", context=set_span_in_context(parent, Context()))
    plain = spans.start("plain", "third", links=[Link(remote, {"note": CARD})])
    child.record_exception(ValueError(f"refused {CARD}"))
    child.set_status(StatusCode.ERROR, f"refused {CARD}")
    for span in (child, plain, parent):
        span.end()
    assert_same(spans.ended())
    assert CARD.encode() not in encode(spans.ended()).SerializeToString()


def test_a_name_and_a_value_with_a_secret_are_hidden_each_time() -> None:
    spans = Spans()
    for _ in range(2):
        spans.start(f"pay with {CARD}", attributes={"note": CARD, "password": "hunter2hunter2"}).end()
    raw = encode(spans.ended()).SerializeToString()
    assert CARD.encode() not in raw
    assert b"hunter2" not in raw
