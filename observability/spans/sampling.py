"""Which requests are traced, decided before the SDK is asked: the others are most of all requests, and the
SDK's way to a span that records nothing takes them forty calls.

The decision is that of `TraceIdRatioBased` on an id drawn here, which the SDK then takes for the trace.
"""

import threading
from random import getrandbits

from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import TraceIdRatioBased
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

UNSAMPLED = TraceFlags(TraceFlags.RANDOM_TRACE_ID)
MASK = TraceIdRatioBased.TRACE_ID_LIMIT


class Ids(RandomIdGenerator):
    """The next trace of a thread gets the id that was drawn for it, if there is one."""

    def __init__(self) -> None:
        self.drawn = threading.local()

    def generate_trace_id(self) -> int:
        drawn: int = self.drawn.__dict__.pop("trace_id", 0)
        return drawn or super().generate_trace_id()


class Decision:
    """`bound` is None while the SDK decides alone: tracing is off, or OTEL_TRACES_SAMPLER is in use."""

    bound: int | None = None
    ids = Ids()


def decide_by(rate: float | None) -> None:
    Decision.bound = None if rate is None else TraceIdRatioBased.get_bound_for_rate(rate)


def unsampled_root() -> NonRecordingSpan | None:
    """The span of a request that is not traced. None: start one, which will be."""
    bound = Decision.bound
    if bound is None:
        return None
    trace_id = getrandbits(128) or 1
    if trace_id & MASK < bound:
        Decision.ids.drawn.trace_id = trace_id
        return None
    return NonRecordingSpan(
        SpanContext(trace_id, getrandbits(64) or 1, is_remote=False, trace_flags=UNSAMPLED)
    )
