"""Traces by OpenTelemetry: what the rest of Amani needs to know of them.

    tracer = get_tracer(__name__)
    with tracer.start_as_current_span("release_milestone"):
        add_span_attributes(milestone_id=milestone.pk)

Requests, queries, tasks, cache and outgoing calls have spans by themselves, made by
observability/telemetry/traces/. With TRACING_ENABLED off all of this does nothing, at no cost.
"""

import json
import os
from collections.abc import Sequence
from datetime import datetime, timedelta
from urllib.parse import urlencode

from django.conf import settings
from opentelemetry import trace
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Tracer

from observability.telemetry.traces import outgoing
from observability.telemetry.traces.counting import CountedSpans
from observability.telemetry.traces.current import Trace as Trace
from observability.telemetry.traces.current import current_trace as current_trace
from observability.telemetry.traces.exporting import make_exporter
from observability.telemetry.traces.sampling import DecidedIds, Head, HeadSampler

AttributeValue = str | bool | int | float | Sequence[str] | Sequence[bool] | Sequence[int] | Sequence[float]

AROUND_A_REQUEST = timedelta(minutes=15)  # a task that it started may be retried


class Running:
    """Holds what traces this process; None with tracing off."""

    spans: CountedSpans | None = None


def is_on() -> bool:
    """Return whether this process makes spans."""
    return Running.spans is not None


def get_tracer(name: str) -> Tracer:
    """Return a tracer for the module `name`; may be called at import, before tracing has started."""
    return trace.get_tracer(name)


def add_span_attributes(**attributes: AttributeValue) -> None:
    """Add `attributes` to the span that is current, if it is sampled."""
    span = trace.get_current_span()
    if span.is_recording():
        span.set_attributes(attributes)


def request_search(request_id: str, at: datetime) -> str:
    """Return the address of Jaeger's search for the traces of a request around `at`; "" with tracing off."""
    if not settings.TRACING_ENABLED or not request_id:
        return ""
    start, end = at - AROUND_A_REQUEST, at + AROUND_A_REQUEST
    query = {
        "service": settings.SERVICE_NAME,
        "lookback": "custom",
        "start": int(start.timestamp() * 1_000_000),
        "end": int(end.timestamp() * 1_000_000),
        "tags": json.dumps({"amani.request_id": request_id}, separators=(",", ":")),
    }
    return f"{settings.JAEGER_URL}/search?{urlencode(query)}"


def start(kind: str) -> None:
    """Start to make and send spans in this process of `kind` `web`, `worker`, `beat` or `command`.

    Call it after fork, since the thread that sends them would stay behind in the parent.
    """
    if not settings.TRACING_ENABLED or is_on() or os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return
    spans = CountedSpans(
        make_exporter(),
        queue_size=settings.OTEL_BSP_MAX_QUEUE_SIZE,
        batch_size=settings.OTEL_BSP_MAX_EXPORT_BATCH_SIZE,
        delay_seconds=settings.OTEL_BSP_SCHEDULE_DELAY / 1000,
    )
    rate = settings.TRACING_SAMPLE_RATE
    sampler = None if rate is None else HeadSampler(rate)  # None lets the SDK read OTEL_TRACES_SAMPLER
    provider = TracerProvider(
        sampler=sampler,
        resource=resource_of(kind),
        shutdown_on_exit=False,
        id_generator=DecidedIds(),
    )
    provider.add_span_processor(spans)
    trace.set_tracer_provider(provider)
    outgoing.instrument(provider)
    Head.sampler, Running.spans = sampler, spans


def begin_to_stop() -> None:
    """Begin to send what waits, and return at once."""
    if Running.spans is not None:
        Running.spans.begin_to_stop()


def stop(timeout: float) -> None:
    """Send what waits, for `timeout` seconds at most; what is left then is counted as dropped."""
    spans, Running.spans, Head.sampler = Running.spans, None, None
    if spans is not None:
        spans.stop(timeout)


def resource_of(kind: str) -> Resource:
    """Return who sends these spans. OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES override the settings."""
    ours: dict[str, str | int] = {
        "service.name": settings.SERVICE_NAME,
        "service.version": settings.RELEASE.partition("@")[2],
        "deployment.environment.name": settings.ENVIRONMENT,
        "amani.process": kind,
        "process.pid": os.getpid(),
    }
    return Resource.create(ours).merge(OTELResourceDetector().detect())
