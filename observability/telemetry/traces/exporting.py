"""The exporter that TRACING_EXPORTER asks for. Each scrubs every span on its way out."""

import os
import sys
from urllib.parse import urlsplit

from django.conf import settings
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SpanExporter
from opentelemetry.util.re import parse_env_headers

from observability.telemetry.traces.scrubbing import ScrubbingExporter

JAEGER = "http://localhost:4318"
GRPC_PORT = 4317
HTTP_PATH = "/v1/traces"
EXPORT_SECONDS = 2.0  # for one batch, with the exporter's own tries


def make_exporter() -> SpanExporter:
    if settings.TRACING_EXPORTER == "console":
        return ScrubbingExporter(ConsoleSpanExporter(out=sys.stdout))
    endpoint = settings.OTLP_ENDPOINT
    if not endpoint and settings.TRACING_EXPORTER == "jaeger" and not is_set("ENDPOINT"):
        endpoint = JAEGER
    exporter = over_grpc(endpoint) if protocol_for(endpoint) == "grpc" else over_http(endpoint)
    return ScrubbingExporter(exporter)


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
    if endpoint and not endpoint.endswith(HTTP_PATH):
        endpoint = endpoint.rstrip("/") + HTTP_PATH
    return OTLPSpanExporter(endpoint=endpoint or None, headers=headers(), timeout=timeout())


def over_grpc(endpoint: str) -> SpanExporter:
    # Imported here: gRPC's library takes some megabytes in each process.
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter(endpoint=endpoint or None, headers=headers(), timeout=timeout())
