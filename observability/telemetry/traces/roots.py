"""The span of a request that continues no trace, made without the SDK's tracer.

Whether it is sampled is decided first, as `TraceIdRatioBased` does: most requests are not, and the SDK's
way to a span that records nothing takes forty calls. One that is sampled is a span of the SDK.
"""

from random import getrandbits
from typing import NamedTuple

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Span, SpanLimits, SpanProcessor
from opentelemetry.sdk.trace.sampling import TraceIdRatioBased
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, TraceFlags

UNSAMPLED = TraceFlags(TraceFlags.RANDOM_TRACE_ID)
SAMPLED = TraceFlags(TraceFlags.RANDOM_TRACE_ID | TraceFlags.SAMPLED)
MASK = TraceIdRatioBased.TRACE_ID_LIMIT
SCOPE = InstrumentationScope("observability.telemetry.traces.requests")
LIMITS = SpanLimits()


class RootSpan(Span):
    """The SDK refuses to make a plain `Span` for anybody but its tracer."""


class Rule(NamedTuple):
    bound: int
    resource: Resource
    processor: SpanProcessor


class Roots:
    """`rule` is None while the SDK decides alone: tracing is off, or OTEL_TRACES_SAMPLER is in use."""

    rule: Rule | None = None


def decide_by(rate: float, resource: Resource, processor: SpanProcessor) -> None:
    Roots.rule = Rule(TraceIdRatioBased.get_bound_for_rate(rate), resource, processor)


def decide_nothing() -> None:
    Roots.rule = None


def start_root(name: str) -> Span | NonRecordingSpan | None:
    """None: the SDK shall do it."""
    rule = Roots.rule
    if rule is None:
        return None
    trace_id = getrandbits(128) or 1
    is_sampled = trace_id & MASK < rule.bound
    flags = SAMPLED if is_sampled else UNSAMPLED
    context = SpanContext(trace_id, getrandbits(64) or 1, is_remote=False, trace_flags=flags)
    if not is_sampled:
        return NonRecordingSpan(context)
    span = RootSpan(
        name,
        context,
        resource=rule.resource,
        kind=SpanKind.SERVER,
        span_processor=rule.processor,
        limits=LIMITS,
        instrumentation_scope=SCOPE,
    )
    span.start()
    return span
