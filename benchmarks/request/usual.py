"""The usual set-up of a Django site, each part as its own pages have it: django-prometheus, django-structlog,
OpenTelemetry's instrumentations of Django and psycopg at 10 %, Sentry's default integrations at 0.1.

Runs in .venv-bench, which has nothing of Amani's.
"""

from typing import Any

APPS = ["django_prometheus", "django_structlog"]
BACKEND = "django_prometheus.db.backends.postgresql"


def middleware(inner: list[str]) -> list[str]:
    return [
        "django_prometheus.middleware.PrometheusBeforeMiddleware",
        *inner,
        "django_structlog.middlewares.RequestMiddleware",
        "django_prometheus.middleware.PrometheusAfterMiddleware",
    ]


def logging_config() -> dict[str, Any]:
    """JSON to stderr."""
    import structlog

    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.filter_by_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.stdlib.add_logger_name,
            structlog.stdlib.add_log_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.processors.StackInfoRenderer(),
            structlog.processors.format_exc_info,
            structlog.processors.UnicodeDecoder(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    formatter = {
        "()": structlog.stdlib.ProcessorFormatter,
        "processor": structlog.processors.JSONRenderer(),
        "foreign_pre_chain": [structlog.contextvars.merge_contextvars, structlog.stdlib.add_log_level],
    }
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": formatter},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
        "root": {"handlers": ["stderr"], "level": "INFO"},
    }


def start(collector: str, sentry_dsn: str) -> None:
    """Before Django's handler is made, which loads the middleware that is added here."""
    import sentry_sdk
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.instrumentation.django import DjangoInstrumentor
    from opentelemetry.instrumentation.psycopg import (  # type: ignore[import-not-found]
        PsycopgInstrumentor,
    )
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

    sentry_sdk.init(sentry_dsn, traces_sample_rate=0.1)
    provider = TracerProvider(sampler=ParentBased(TraceIdRatioBased(0.1)))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{collector}/v1/traces")))
    trace.set_tracer_provider(provider)
    DjangoInstrumentor().instrument()
    PsycopgInstrumentor().instrument()


def flush() -> None:
    import sentry_sdk
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import get_tracer_provider

    provider = get_tracer_provider()
    assert isinstance(provider, TracerProvider)
    provider.force_flush()
    sentry_sdk.flush(2.0)
