"""Decides whether a request is sampled before anything is made for it.

OpenTelemetry's Django instrumentation collects attributes and resolves the route before the SDK asks its
sampler: about 300 Python calls for every request, sampled or not. Here the decision comes first. The SDK then
comes to the same decision, because it is given the trace id that was decided about.
"""

from collections.abc import Sequence
from contextvars import ContextVar
from random import getrandbits

from opentelemetry.context import Context
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult, TraceIdRatioBased
from opentelemetry.trace import Link, SpanContext, SpanKind, TraceFlags, TraceState, get_current_span
from opentelemetry.util.types import Attributes

RANDOM = TraceFlags(TraceFlags.RANDOM_TRACE_ID)

# The id of the trace that is about to begin. At 0 the SDK makes one.
decided_trace_id: ContextVar[int] = ContextVar("decided_trace_id", default=0)


class HeadSampler(Sampler):
    """Samples a share of the traces that begin here, by the rule of TraceIdRatioBased; a span that has a
    parent follows it. ParentBased decides the same with three times as many calls."""

    def __init__(self, rate: float) -> None:
        """`rate` is the share of the traces to sample, from 0 to 1."""
        self.root = TraceIdRatioBased(rate)
        self.bound = self.root.bound

    def samples(self, trace_id: int) -> bool:
        """Return whether a trace that begins with this id is sampled."""
        return trace_id & TraceIdRatioBased.TRACE_ID_LIMIT < self.bound

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """Return the decision, and the attributes that the span begins with.

        The span of a request begins without: the Django instrumentation sets each of them once more.
        """
        # By position: each of the context's properties is a call.
        _, _, _is_remote, flags, state, is_valid = get_current_span(parent_context).get_span_context()
        if is_valid:
            is_sampled, trace_state = flags & TraceFlags.SAMPLED, state
        else:
            is_sampled = self.samples(trace_id)
        if not is_sampled:
            return SamplingResult(Decision.DROP, None, trace_state)
        begin_with = None if kind is SpanKind.SERVER else attributes
        return SamplingResult(Decision.RECORD_AND_SAMPLE, begin_with, trace_state)

    def get_description(self) -> str:
        return f"HeadSampler{{{self.root.get_description()}}}"


class DecidedIds(RandomIdGenerator):
    """Begins a trace with the id that was decided about, else with a random one."""

    def generate_trace_id(self) -> int:
        return decided_trace_id.get() or super().generate_trace_id()


class Head:
    """The sampler of this process. None while the SDK decides alone: tracing has not started, or the operator
    chose a sampler with OTEL_TRACES_SAMPLER."""

    sampler: HeadSampler | None = None


def unsampled(trace_id: int, trace_state: TraceState | None = None) -> SpanContext:
    """Return a new place in the trace `trace_id` with the flag that tells a called service not to sample."""
    span_id = getrandbits(64) or 1
    return SpanContext(trace_id, span_id, is_remote=False, trace_flags=RANDOM, trace_state=trace_state)
