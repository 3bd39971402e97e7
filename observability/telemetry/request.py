"""What metrics, log line, trace and error event know of one request."""

from typing import Any

from django.http import HttpRequest

from observability.telemetry.traces.current import Trace
from observability.telemetry.traces.instrumented_request import InstrumentedRequest


class RequestTelemetry:
    """Hangs on the request as `request.telemetry`, also while its answer is streamed.

    `trace` says where in which trace the request runs; None with tracing off. `exemplar` has the labels that
    lead from a metric to the request; None unless it is sampled. `user` is who has signed in, once a view has
    asked for it. `instrumented` is what OpenTelemetry's instrumentation sees of the request, and `exception`
    the one that no view handled, while the span of a sampled request is open.
    """

    trace: Trace | None = None
    exemplar: dict[str, str] | None = None
    user: Any = None  # of whatever class AUTH_USER_MODEL names
    instrumented: InstrumentedRequest | None = None
    exception: BaseException | None = None


def telemetry_of(request: HttpRequest) -> RequestTelemetry:
    """Return the telemetry of `request`; a new one when no middleware has asked before."""
    try:
        telemetry: RequestTelemetry = request.telemetry  # type: ignore[attr-defined]  # ours, on Django's class
    except AttributeError:
        telemetry = request.telemetry = RequestTelemetry()  # type: ignore[attr-defined]
    return telemetry
