"""Traces by OpenTelemetry: what the rest of Amani needs to know of them.

    tracer = get_tracer(__name__)
    with tracer.start_as_current_span("release_milestone"):
        add_span_attributes(milestone_id=milestone.pk)

Requests, queries, tasks, cache and outgoing calls have spans by themselves, made by
observability/telemetry/traces/. With TRACING_ENABLED off all of this does nothing, at no cost.
"""

import os
from collections.abc import Sequence

from django.conf import settings
from opentelemetry import trace
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ParentBased, Sampler, TraceIdRatioBased
from opentelemetry.trace import Tracer

from observability.telemetry.traces import outgoing, roots
from observability.telemetry.traces.batches import Batches
from observability.telemetry.traces.current import Trace as Trace
from observability.telemetry.traces.current import current_trace as current_trace
from observability.telemetry.traces.exporting import make_exporter

AttributeValue = str | bool | int | float | Sequence[str] | Sequence[bool] | Sequence[int] | Sequence[float]


class Running:
    """The tracing of this process, while it is on."""

    batches: Batches | None = None


def is_on() -> bool:
    return Running.batches is not None


def get_tracer(name: str) -> Tracer:
    """A tracer for the module `name`; may be called at import, before tracing has started."""
    return trace.get_tracer(name)


def add_span_attributes(**attributes: AttributeValue) -> None:
    """Adds `attributes` to the span that is current, if it is sampled."""
    span = trace.get_current_span()
    if span.is_recording():
        span.set_attributes(attributes)


def start(kind: str) -> None:
    """Starts making and sending spans in this process: `web`, `worker`, `beat` or `command`.

    To be called after fork, since the thread that sends them would stay behind in the parent.
    """
    if not settings.TRACING_ENABLED or is_on() or os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return
    batches = Batches(
        make_exporter(),
        queue_size=settings.OTEL_BSP_MAX_QUEUE_SIZE,
        batch_size=settings.OTEL_BSP_MAX_EXPORT_BATCH_SIZE,
        delay_seconds=settings.OTEL_BSP_SCHEDULE_DELAY / 1000,
    )
    provider = TracerProvider(sampler=make_sampler(), resource=resource_of(kind), shutdown_on_exit=False)
    provider.add_span_processor(batches)
    trace.set_tracer_provider(provider)
    outgoing.instrument(provider)
    if settings.TRACING_SAMPLE_RATE is not None:
        roots.decide_by(settings.TRACING_SAMPLE_RATE, provider.resource, batches)
    Running.batches = batches


def begin_to_stop() -> None:
    """Begins to send what waits, and returns at once."""
    if Running.batches is not None:
        Running.batches.begin_to_stop()


def stop(timeout: float) -> None:
    """Sends what waits, within `timeout` seconds; what is left then is counted as dropped."""
    batches, Running.batches = Running.batches, None
    roots.decide_nothing()
    if batches is not None:
        batches.stop(timeout)


def make_sampler() -> Sampler | None:
    """None lets the SDK read OTEL_TRACES_SAMPLER."""
    if settings.TRACING_SAMPLE_RATE is None:
        return None
    return ParentBased(TraceIdRatioBased(settings.TRACING_SAMPLE_RATE))


def resource_of(kind: str) -> Resource:
    """Who sends these spans. OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES have the last word."""
    ours: dict[str, str | int] = {
        "service.name": settings.SERVICE_NAME,
        "service.version": settings.RELEASE.partition("@")[2],
        "deployment.environment.name": settings.ENVIRONMENT,
        "amani.process": kind,
        "process.pid": os.getpid(),
    }
    return Resource.create(ours).merge(OTELResourceDetector().detect())
