"""Decides whether a request is sampled before anything is made for it.

OpenTelemetry's Django instrumentation collects attributes and resolves the route before the SDK asks its
sampler: about 300 Python calls for every request, sampled or not. Here the decision comes first. The SDK then
comes to the same decision, because it is given the trace id that was decided about.
"""

from contextvars import ContextVar
from random import getrandbits

from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import SpanContext, TraceFlags, TraceState

RANDOM = TraceFlags(TraceFlags.RANDOM_TRACE_ID)

# The id of the trace that is about to begin. At 0 the SDK makes one.
decided_trace_id: ContextVar[int] = ContextVar("decided_trace_id", default=0)


class HeadSampler(ParentBased):
    """Samples a share of the traces that begin here, by the rule of TraceIdRatioBased; a span that has a
    parent follows it."""

    def __init__(self, rate: float) -> None:
        """`rate` is the share of the traces to sample, from 0 to 1."""
        super().__init__(TraceIdRatioBased(rate))
        self.bound = TraceIdRatioBased.get_bound_for_rate(rate)

    def samples(self, trace_id: int) -> bool:
        """Return whether a trace that begins with this id is sampled; as `should_sample`, for fewer calls."""
        return trace_id & TraceIdRatioBased.TRACE_ID_LIMIT < self.bound


class DecidedIds(RandomIdGenerator):
    """Begins a trace with the id that was decided about, else with a random one."""

    def generate_trace_id(self) -> int:
        return decided_trace_id.get() or super().generate_trace_id()


class Head:
    """The sampler of this process. None while the SDK decides alone: tracing has not started, or the operator
    chose a sampler with OTEL_TRACES_SAMPLER."""

    sampler: HeadSampler | None = None


def new_trace_id() -> int:
    """Return 128 random bits. Never 0, which is no valid id."""
    return getrandbits(128) or 1


def unsampled(trace_id: int, trace_state: TraceState | None = None) -> SpanContext:
    """Return a new place in the trace `trace_id` with the flag that tells a called service not to sample."""
    span_id = getrandbits(64) or 1
    return SpanContext(trace_id, span_id, is_remote=False, trace_flags=RANDOM, trace_state=trace_state)
