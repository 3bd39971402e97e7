"""Amani's signals around the benchmarks' site, as much of them as a set-up asks for."""

import os
from typing import Any, NamedTuple

LOG = "observability.telemetry.middleware.RequestLogMiddleware"
TRACING = "observability.telemetry.traces.requests.TracingMiddleware"
SENTRY = "observability.telemetry.errors.performance.SentryTransactionMiddleware"
METRICS = "observability.telemetry.middleware.MetricsMiddleware"


class Signals(NamedTuple):
    middleware: list[str]
    traced: float | None = None  # the share of the requests
    protocol: str = "http/protobuf"
    sentry: bool = False


SETUPS = {
    "metrics": Signals([METRICS]),
    "logs": Signals([LOG, METRICS]),
    "sentry": Signals([], sentry=True),
    "tenth": Signals([LOG, TRACING, SENTRY, METRICS], traced=0.1, sentry=True),
    "untraced": Signals([LOG, TRACING, SENTRY, METRICS], traced=0.0, sentry=True),
    "all": Signals([LOG, TRACING, SENTRY, METRICS], traced=1.0, sentry=True),
    "grpc": Signals([LOG, TRACING, SENTRY, METRICS], traced=0.1, protocol="grpc", sentry=True),
}


def settings_of(signals: Signals) -> dict[str, Any]:
    over_grpc = signals.protocol == "grpc"
    return {
        "BASE_DIR": os.getcwd(),  # noqa: PTH109
        "ENVIRONMENT": "benchmark",
        "VERSION": "benchmark",
        "RELEASE": "amani-backend@benchmark",
        "SERVICE_NAME": "amani-backend",
        "PROMETHEUS_MULTIPROC_DIR": os.environ["PROMETHEUS_MULTIPROC_DIR"],
        "METRICS_TOKEN": "",
        "METRICS_ALLOWED_NETWORKS": [],
        "SENTRY_DSN": os.environ["SENTRY_SINK"] if signals.sentry else "",
        "SENTRY_TRACES_SAMPLE_RATE": 0.0,
        "SENTRY_PROFILES_SAMPLE_RATE": 0.0,
        "SENTRY_SEND_EMAIL": False,
        "TRACING_ENABLED": signals.traced is not None,
        "TRACING_EXPORTER": "otlp",
        "TRACING_SAMPLE_RATE": signals.traced,
        "TRACING_TRUSTED_NETWORKS": [],
        "OTLP_ENDPOINT": os.environ["GRPC_COLLECTOR" if over_grpc else "HTTP_COLLECTOR"],
        "OTLP_PROTOCOL": signals.protocol,
        "OTLP_HEADERS": "",
        "OTEL_BSP_SCHEDULE_DELAY": 1000,  # the defaults
        "OTEL_BSP_MAX_QUEUE_SIZE": 2048,
        "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": 512,
    }


def logging_config() -> dict[str, Any]:
    from observability.telemetry.logs import formatting as logging

    return logging.logging_config("INFO", "json")


def start(signals: Signals) -> None:
    from observability import sentry
    from observability.telemetry import database, processes

    if not signals.middleware:
        sentry.start("web")
        return
    database.connect()
    processes.start("web")


def flush() -> None:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import get_tracer_provider

    provider = get_tracer_provider()
    if isinstance(provider, TracerProvider):
        assert provider.force_flush()


def exported_spans() -> float:
    from observability.metrics import spans_exported

    return spans_exported._value.get()  # type: ignore[no-any-return]
