"""The exporter that TRACING_EXPORTER asks for, and the washing of every span on its way out."""

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SpanExporter, SpanExportResult
from opentelemetry.trace import Link, Status
from opentelemetry.util.re import parse_env_headers

from observability.scrubbing import scrub, scrub_text

JAEGER = "http://localhost:4318"
GRPC_PORT = 4317
HTTP_PATH = "/v1/traces"
EXPORT_SECONDS = 2.0  # for one batch, with the exporter's own tries
# Written by Amani from closed sets, or clean already (observability/spans/statements.py).
CLEAN = frozenset(
    {
        "amani.request_id",
        "celery.action",
        "celery.task_name",
        "db.namespace",
        "db.operation.name",
        "db.query.text",
        "db.system.name",
        "http.request.method",
        "http.route",
        "messaging.message.id",
        "url.scheme",
    }
)


def make_exporter() -> SpanExporter:
    if settings.TRACING_EXPORTER == "console":
        return Scrubbing(ConsoleSpanExporter(out=sys.stdout))
    endpoint = settings.OTLP_ENDPOINT
    if not endpoint and settings.TRACING_EXPORTER == "jaeger" and not is_set("ENDPOINT"):
        endpoint = JAEGER
    return Scrubbing(over_grpc(endpoint) if protocol_for(endpoint) == "grpc" else over_http(endpoint))


def is_set(name: str) -> bool:
    """Whether the SDK finds `name` in its own variables."""
    return bool(variable(name))


def variable(name: str) -> str:
    for_traces = os.environ.get(f"OTEL_EXPORTER_OTLP_TRACES_{name}")
    return for_traces or os.environ.get(f"OTEL_EXPORTER_OTLP_{name}") or ""


def protocol_for(endpoint: str) -> str:
    chosen: str = settings.OTLP_PROTOCOL or variable("PROTOCOL")
    if chosen:
        return chosen
    address = endpoint or variable("ENDPOINT")
    port = urlsplit(address if "//" in address else f"//{address}").port
    return "grpc" if port == GRPC_PORT else "http/protobuf"


def headers() -> dict[str, str] | None:
    """None lets the SDK read its own variable."""
    return dict(parse_env_headers(settings.OTLP_HEADERS, liberal=True)) or None


def timeout() -> float | None:
    return None if is_set("TIMEOUT") else EXPORT_SECONDS


def over_http(endpoint: str) -> SpanExporter:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    if endpoint and not endpoint.endswith(HTTP_PATH):
        endpoint = endpoint.rstrip("/") + HTTP_PATH
    return OTLPSpanExporter(endpoint=endpoint or None, headers=headers(), timeout=timeout())


def over_grpc(endpoint: str) -> SpanExporter:
    # Imported here: gRPC's library takes some megabytes in each process.
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter(endpoint=endpoint or None, headers=headers(), timeout=timeout())


class Scrubbing(SpanExporter):
    """Gives `exporter` spans without secrets and personal data. Works in the thread that sends, so that it
    costs no request anything."""

    def __init__(self, exporter: SpanExporter) -> None:
        self.exporter = exporter

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return self.exporter.export([scrubbed(span) for span in spans])

    def shutdown(self) -> None:
        self.exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self.exporter.force_flush(timeout_millis)


def scrubbed(span: ReadableSpan) -> ReadableSpan:
    status = span.status
    if status.description:
        status = Status(status.status_code, scrub_text(status.description))
    return ReadableSpan(
        name=scrub_text(span.name),
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=scrubbed_attributes(span.attributes),
        events=[
            Event(scrub_text(event.name), scrubbed_attributes(event.attributes), event.timestamp)
            for event in span.events
        ],
        links=[Link(link.context, scrubbed_attributes(link.attributes)) for link in span.links],
        kind=span.kind,
        status=status,
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def scrubbed_attributes(attributes: Mapping[str, Any] | None) -> dict[str, Any]:
    return {
        name: value if name in CLEAN or type(value) in {int, bool, float} else scrub(value, name)
        for name, value in (attributes or {}).items()
    }
