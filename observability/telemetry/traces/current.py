"""Says where in which trace the calling code runs. Imports nothing that logs, so that logging may use it."""

from typing import NamedTuple

from opentelemetry import trace
from opentelemetry.trace import Span, SpanContext

from core.request_id import current_request_id


class Trace(NamedTuple):
    """A place in a trace: `trace_id` has 32, `span_id` 16 hexadecimal digits."""

    trace_id: str
    span_id: str
    sampled: bool


def current_trace() -> Trace | None:
    """Return the current place; None with tracing off, and outside of requests and tasks."""
    return trace_of(trace.get_current_span())


def trace_of(span: Span) -> Trace | None:
    """Return the place of `span`; None for a span without a valid context."""
    return trace_at(span.get_span_context())


def trace_at(place: SpanContext) -> Trace | None:
    """Return `place` as a Trace; None when it is not valid."""
    # By position: each of the context's properties is a call, and every request comes here.
    trace_id, span_id, _is_remote, flags, _state, is_valid = place
    if not is_valid:
        return None
    return Trace(f"{trace_id:032x}", f"{span_id:016x}", flags & 1 == 1)


def exemplar(trace_id: str, request_id: str) -> dict[str, str]:
    """Return the labels that lead from a counter or bucket to one request's trace and log lines."""
    return {"trace_id": trace_id, "request_id": request_id} if request_id else {"trace_id": trace_id}


def current_exemplar() -> dict[str, str] | None:
    """Return the labels for what the calling code counts; None when it is not sampled."""
    here = current_trace()
    return exemplar(here.trace_id, current_request_id()) if here is not None and here.sampled else None
