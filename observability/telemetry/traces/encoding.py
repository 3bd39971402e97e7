"""Spans as OTLP, scrubbed on the way: what the SDK's encoder makes of `washing.scrubbed` ones.

That one makes two messages and some twenty Python calls for each attribute, although names and most values
are the same in every span. Here these are encoded, and scrubbed, once.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1 import trace_pb2
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, StatusCode

from core.scrubbing import scrub_text, scrubber
from observability.telemetry.traces.washing import scrubbed, scrubbed_value

KINDS = {kind: trace_pb2.Span.SpanKind.Value(f"SPAN_KIND_{kind.name}") for kind in SpanKind}
UNSET = trace_pb2.Status()
FIELDS = {str: "string_value", bool: "bool_value", int: "int_value", float: "double_value"}
LONGEST_REMEMBERED = 300
NOT_REPEATED = frozenset({"amani.request_id", "messaging.message.id"})
LOCAL = trace_pb2.SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK
REMOTE = LOCAL | trace_pb2.SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK


def encode(spans: Sequence[ReadableSpan]) -> ExportTraceServiceRequest:
    """`spans` are of one process, so they have one resource."""
    groups: dict[InstrumentationScope | None, list[ReadableSpan]] = {}
    for span in spans:
        groups.setdefault(span.instrumentation_scope, []).append(span)
    # The SDK encodes resource and scopes around one span of each scope, which is then replaced.
    request = encode_spans([scrubbed(group[0]) for group in groups.values()])
    for scope_spans, group in zip(request.resource_spans[0].scope_spans, groups.values(), strict=True):
        del scope_spans.spans[:]
        scope_spans.spans.extend(message_of(span) for span in group)
    return request


def message_of(span: ReadableSpan) -> trace_pb2.Span:
    if is_plain(span):
        try:
            return plain_message(span, span.get_span_context(), span.parent)
        except (KeyError, TypeError, ValueError):  # an attribute that is a list, or not encodable
            pass
    encoded: trace_pb2.Span = encode_spans([scrubbed(span)]).resource_spans[0].scope_spans[0].spans[0]
    return encoded


def is_plain(span: ReadableSpan) -> bool:
    """Without what few spans have."""
    is_unset = span.status.status_code is StatusCode.UNSET
    return is_unset and not span.events and not span.links and not (span.context and span.context.trace_state)


def plain_message(span: ReadableSpan, context: Any, parent: SpanContext | None) -> trace_pb2.Span:
    return trace_pb2.Span(
        trace_id=context.trace_id.to_bytes(16, "big"),
        span_id=context.span_id.to_bytes(8, "big"),
        parent_span_id=parent.span_id.to_bytes(8, "big") if parent else b"",
        name=clean_name(span.name, len(scrubber.spelled)),
        kind=KINDS[span.kind],
        start_time_unix_nano=span.start_time or 0,
        end_time_unix_nano=span.end_time or 0,
        attributes=[key_value(name, value) for name, value in (span.attributes or {}).items()],
        status=UNSET,
        flags=REMOTE if parent and parent.is_remote else LOCAL,
    )


def key_value(name: str, value: object) -> KeyValue:
    if name in NOT_REPEATED or (type(value) is str and len(value) > LONGEST_REMEMBERED):
        return make_key_value(name, value)
    return remembered_key_value(name, value, len(scrubber.spelled))


def make_key_value(name: str, value: object) -> KeyValue:
    clean = scrubbed_value(name, value)
    return KeyValue(key=name, value=AnyValue(**{FIELDS[type(clean)]: clean}))


@lru_cache(maxsize=1024, typed=True)
def remembered_key_value(name: str, value: object, _secrets_learned: int) -> KeyValue:
    """Anew when the scrubber has learned of more secrets."""
    return make_key_value(name, value)


@lru_cache(maxsize=512)
def clean_name(name: str, _secrets_learned: int) -> str:
    return scrub_text(name)
