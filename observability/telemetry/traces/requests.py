"""The span of a request, which OpenTelemetry's Django instrumentation makes for sampled requests only."""

import sys
from collections.abc import Iterable, Mapping
from random import getrandbits
from typing import Any

from django.conf import settings
from django.core.exceptions import MiddlewareNotUsed
from django.core.signals import got_request_exception
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from opentelemetry import context, propagate, trace
from opentelemetry.context import Context
from opentelemetry.instrumentation.wsgi import wsgi_getter
from opentelemetry.trace import NonRecordingSpan, SpanContext

from core.request_id import current_request_id
from observability.telemetry.callers import is_direct_from
from observability.telemetry.errors.trail import trail
from observability.telemetry.middleware import GetResponse
from observability.telemetry.request import RequestTelemetry, telemetry_of
from observability.telemetry.traces.current import exemplar, trace_at, trace_of
from observability.telemetry.traces.instrumented_request import (
    READ,
    InstrumentedRequest,
    InstrumentedResponse,
    captures_headers,
)
from observability.telemetry.traces.sampling import Head, decided_trace_id, unsampled

# Without a span in it, what begins here does not continue what another request left behind in this thread.
NOWHERE = Context()


class TracingMiddleware:
    """Decides whether a request is sampled, and has a sampled one instrumented.

    Directly inside the log middleware, outside the metrics middleware: both find the trace, and for a sampled
    request the labels of an exemplar, in the request's telemetry.
    """

    def __init__(self, get_response: GetResponse) -> None:
        if not settings.TRACING_ENABLED:
            raise MiddlewareNotUsed
        # What no process without tracing needs is imported here.
        from observability.telemetry.traces.instrumentation import make_instrumentation

        self.get_response = get_response
        self.instrumentation = make_instrumentation(get_response)
        self.headers = headers_of_callers()
        self.captures_headers = captures_headers()
        got_request_exception.connect(keep_exception, dispatch_uid="observability.telemetry.traces")

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        caller = None if self.headers.isdisjoint(request.META) else caller_of(request.META)
        sampler = Head.sampler
        if caller is not None and is_trusted(request.META):
            if sampler is None or caller.trace_flags.sampled:
                return self.answer_sampled(request)
            return self.answer_unsampled(request, unsampled(caller.trace_id, caller.trace_state))
        trace_id = getrandbits(128) or 1  # 0 is no valid id
        if sampler is None or sampler.samples(trace_id):
            return self.answer_sampled(request, trace_id, caller)
        return self.answer_unsampled(request, unsampled(trace_id))

    def answer_unsampled(self, request: HttpRequest, place: SpanContext) -> HttpResponseBase:
        """Answer `request` without a span; log lines, events and outgoing calls have the ids of `place`."""
        telemetry_of(request).trace = trace_at(place)
        token = context.attach(trace.set_span_in_context(NonRecordingSpan(place), NOWHERE))
        trail.untraced = True
        try:
            return self.get_response(request)
        finally:
            trail.untraced = False
            context.detach(token)

    def answer_sampled(
        self, request: HttpRequest, trace_id: int = 0, linked: SpanContext | None = None
    ) -> HttpResponseBase:
        """Answer `request` inside a span.

        It begins the trace `trace_id`, or at 0 continues that of its caller. `linked` is a caller whose trace
        is not continued.
        """
        telemetry = telemetry_of(request)
        seen = self.seen_of(request.META, with_caller=not trace_id)
        telemetry.instrumented = InstrumentedRequest(request, seen)
        token = context.attach(NOWHERE)
        try:
            self.begin(telemetry, trace_id, linked)
            response = self.get_response(request)
        except BaseException as exception:  # with DEBUG_PROPAGATE_EXCEPTIONS, or a worker that has to exit
            telemetry.exception = exception
            self.end(telemetry, HttpResponse(status=500))
            raise
        else:
            self.end(telemetry, response)
            return response
        finally:
            context.detach(token)

    def seen_of(self, environ: Mapping[str, Any], *, with_caller: bool) -> Iterable[str]:
        """Return the keys of `environ` that the instrumentation sees. It continues a caller that it sees."""
        if self.captures_headers:
            return environ.keys() if with_caller else environ.keys() - self.headers
        return (*READ, *self.headers) if with_caller else READ

    def begin(self, telemetry: RequestTelemetry, trace_id: int, linked: SpanContext | None) -> None:
        token = decided_trace_id.set(trace_id)
        try:
            self.instrumentation.process_request(telemetry.instrumented)
        finally:
            decided_trace_id.reset(token)
        span = trace.get_current_span()
        if linked is not None:
            span.add_link(linked)
        telemetry.trace = trace_of(span)
        identifier = current_request_id()
        if identifier:
            span.set_attribute("amani.request_id", identifier)
        if telemetry.trace is not None and telemetry.trace.sampled:
            telemetry.exemplar = exemplar(telemetry.trace.trace_id, identifier)

    def end(self, telemetry: RequestTelemetry, response: HttpResponseBase) -> None:
        """End the span. That of a streamed answer ends with its headers, as the instrumentation has it."""
        if telemetry.exception is not None:
            self.instrumentation.process_exception(telemetry.instrumented, telemetry.exception)
        seen = response if self.captures_headers else InstrumentedResponse(response.status_code)
        self.instrumentation.process_response(telemetry.instrumented, seen)
        telemetry.instrumented = telemetry.exception = None  # which hold the request, and it them


def headers_of_callers() -> frozenset[str]:
    """Return the keys of META in which callers say where they are, by the propagators in OTEL_PROPAGATORS."""
    fields = propagate.get_global_textmap().fields
    return frozenset(f"HTTP_{field.upper().replace('-', '_')}" for field in fields)


def caller_of(environ: dict[str, Any]) -> SpanContext | None:
    """Return where the caller is in which trace; None when its headers do not say it well."""
    said = propagate.extract(environ, NOWHERE, wsgi_getter)
    place = trace.get_current_span(said).get_span_context()
    return place if place.is_valid else None


def is_trusted(environ: Mapping[str, Any]) -> bool:
    """Return whether the caller itself is in TRACING_TRUSTED_NETWORKS, and calls without a proxy.

    A stranger's sampling flag, or a trace id chosen to pass our sampler, could make us trace everything.
    """
    networks = settings.TRACING_TRUSTED_NETWORKS
    return bool(networks) and is_direct_from(networks, environ)


def keep_exception(request: HttpRequest | None = None, **_: object) -> None:
    """Keep for the span what no view handled, which is when Django sends this signal.

    The instrumentation's own hook would also record Http404 and refused permissions as errors.
    """
    if request is not None:
        telemetry = telemetry_of(request)
        if telemetry.instrumented is not None:
            telemetry.exception = sys.exc_info()[1]
