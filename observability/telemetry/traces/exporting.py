"""Chooses OpenTelemetry's exporter by TRACING_EXPORTER and the OTLP settings."""

import os
import sys
from urllib.parse import urlsplit

from django.conf import settings
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SpanExporter
from opentelemetry.util.re import parse_env_headers

from observability.telemetry.traces.scrubbing import ScrubbingExporter

JAEGER = "http://localhost:4318"
GRPC_PORT = 4317
HTTP_PATH = "/v1/traces"
EXPORT_SECONDS = 2.0  # for one batch, with the exporter's own tries


def make_exporter() -> SpanExporter:
    """Return the exporter that the settings ask for; it scrubs every span before it leaves."""
    if settings.TRACING_EXPORTER == "console":
        return ScrubbingExporter(ConsoleSpanExporter(out=sys.stdout))
    endpoint = settings.OTLP_ENDPOINT
    if not endpoint and settings.TRACING_EXPORTER == "jaeger" and not is_set("ENDPOINT"):
        endpoint = JAEGER
    exporter = over_grpc(endpoint) if protocol_for(endpoint) == "grpc" else over_http(endpoint)
    return ScrubbingExporter(exporter)


def is_set(name: str) -> bool:
    """Return whether the SDK finds `name` in its own variables."""
    return bool(variable(name))


def variable(name: str) -> str:
    """Return the value of the SDK's variable for traces, else of the one for all signals, else nothing."""
    for_traces = os.environ.get(f"OTEL_EXPORTER_OTLP_TRACES_{name}")
    return for_traces or os.environ.get(f"OTEL_EXPORTER_OTLP_{name}") or ""


def protocol_for(endpoint: str) -> str:
    """Return `grpc` or `http/protobuf`: what was chosen, else what the port says."""
    chosen: str = settings.OTLP_PROTOCOL or variable("PROTOCOL")
    if chosen:
        return chosen
    address = endpoint or variable("ENDPOINT")
    port = urlsplit(address if "//" in address else f"//{address}").port
    return "grpc" if port == GRPC_PORT else "http/protobuf"


def headers() -> dict[str, str] | None:
    """Return OTLP_HEADERS. None lets the SDK read its own variable."""
    return dict(parse_env_headers(settings.OTLP_HEADERS, liberal=True)) or None


def timeout() -> float | None:
    """Return the seconds for one batch. None lets the SDK read its own variable."""
    return None if is_set("TIMEOUT") else EXPORT_SECONDS


def over_http(endpoint: str) -> SpanExporter:
    """Return the HTTP exporter. An empty `endpoint` lets it read its own variable, as in `over_grpc`. Either
    is imported only when chosen: it takes megabytes, and a tenth of a second, in each process."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    if endpoint and not endpoint.endswith(HTTP_PATH):
        endpoint = endpoint.rstrip("/") + HTTP_PATH
    return OTLPSpanExporter(endpoint=endpoint or None, headers=headers(), timeout=timeout())


def over_grpc(endpoint: str) -> SpanExporter:
    """Return the gRPC exporter."""
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter(endpoint=endpoint or None, headers=headers(), timeout=timeout())
