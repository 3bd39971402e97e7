"""What an OTLP trace request says, as plain values."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1 import trace_pb2

Attributes = dict[str, Any]


@dataclass(frozen=True)
class Event:
    name: str
    at: int  # nanoseconds since 1970
    attributes: Attributes


@dataclass(frozen=True)
class Link:
    trace_id: str
    span_id: str
    attributes: Attributes


@dataclass(frozen=True)
class Span:
    """Ids are lower-case hex, `parent_id` is "" for a root; times are nanoseconds since 1970."""

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    kind: str  # INTERNAL, SERVER, CLIENT, PRODUCER or CONSUMER
    started: int
    ended: int
    attributes: Attributes
    events: list[Event]
    links: list[Link]
    status: str  # UNSET, OK or ERROR
    status_message: str
    resource: Attributes
    scope: str

    @property
    def seconds(self) -> float:
        return (self.ended - self.started) / 1e9


def spans_in(raw: bytes) -> list[Span]:
    """The spans of an ExportTraceServiceRequest. Raises google.protobuf.message.DecodeError."""
    request = ExportTraceServiceRequest.FromString(raw)
    return [
        read_span(span, attributes_of(group.resource.attributes), scope.scope.name)
        for group in request.resource_spans
        for scope in group.scope_spans
        for span in scope.spans
    ]


def read_span(span: trace_pb2.Span, resource: Attributes, scope: str) -> Span:
    return Span(
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        name=span.name,
        kind=trace_pb2.Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        started=span.start_time_unix_nano,
        ended=span.end_time_unix_nano,
        attributes=attributes_of(span.attributes),
        events=[read_event(event) for event in span.events],
        links=[read_link(link) for link in span.links],
        status=trace_pb2.Status.StatusCode.Name(span.status.code).removeprefix("STATUS_CODE_"),
        status_message=span.status.message,
        resource=resource,
        scope=scope,
    )


def read_event(event: trace_pb2.Span.Event) -> Event:
    return Event(event.name, event.time_unix_nano, attributes_of(event.attributes))


def read_link(link: trace_pb2.Span.Link) -> Link:
    return Link(link.trace_id.hex(), link.span_id.hex(), attributes_of(link.attributes))


def attributes_of(pairs: Iterable[KeyValue]) -> Attributes:
    return {pair.key: value_of(pair.value) for pair in pairs}


def value_of(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    if kind == "array_value":
        return [value_of(one) for one in value.array_value.values]
    if kind == "kvlist_value":
        return attributes_of(value.kvlist_value.values)
    return getattr(value, kind)
