"""A span for each request, named by method and route, with OpenTelemetry's stable HTTP attributes.

opentelemetry-instrumentation-django resolves the route a second time and collects attributes before it knows
whether the request is sampled: 580 calls for every request, sampled or not. Here the sampler comes first.
"""

import sys
from collections.abc import Mapping
from functools import partial
from ipaddress import IPv6Address, ip_address
from typing import Any

from django.conf import settings
from django.core.exceptions import MiddlewareNotUsed
from django.core.signals import got_request_exception
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from opentelemetry import context, propagate, trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import SpanLimits
from opentelemetry.trace import Link, NonRecordingSpan, Span, SpanKind, StatusCode, Tracer

from core.request_id import current_request_id
from observability.metrics import METHODS
from observability.telemetry.errors.trail import trail
from observability.telemetry.middleware import GetResponse, route_of, when_answered
from observability.telemetry.request import telemetry_of
from observability.telemetry.traces.current import exemplar, trace_of
from observability.telemetry.traces.roots import start_root

# Without a parent in it, a span that starts here is the first of its trace.
NOWHERE = Context()
LONGEST = SpanLimits().max_span_attribute_length
PROXY_HEADERS = ("HTTP_FORWARDED", "HTTP_VIA", "HTTP_X_REAL_IP", "HTTP_X_FORWARDED_FOR")


class TracingMiddleware:
    """Directly inside the log middleware, outside the metrics middleware: both find the trace, and for a
    sampled request the labels of an exemplar, in the request's telemetry."""

    def __init__(self, get_response: GetResponse) -> None:
        if not settings.TRACING_ENABLED:
            raise MiddlewareNotUsed
        self.get_response = get_response
        self.tracer: Tracer = trace.get_tracer(__name__)
        got_request_exception.connect(record_exception, dispatch_uid="observability.telemetry.traces")

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if "HTTP_TRACEPARENT" in request.META:
            span = self.start_span_for_caller(request)
        else:
            span = self.start_span(request)
        telemetry = telemetry_of(request)
        here = telemetry.trace = trace_of(span)
        if here is not None and here.sampled:
            telemetry.exemplar = exemplar(here.trace_id, current_request_id())
        token = context.attach(trace.set_span_in_context(span, NOWHERE))
        try:
            response = self.get_response(request)
        except BaseException as exception:  # with DEBUG_PROPAGATE_EXCEPTIONS, or a worker told to exit
            span.record_exception(exception)
            finish(span, request, 500)
            raise
        finally:
            context.detach(token)
            trail.untraced = False
        if span.is_recording():
            when_answered(response, partial(finish, span, request, response.status_code))
        return response

    def start_span(self, request: HttpRequest) -> Span:
        span = start_root(request.method or "")
        if span is None:
            return self.tracer.start_span(name_of(request), NOWHERE, SpanKind.SERVER)
        trail.untraced = type(span) is NonRecordingSpan
        return span

    def start_span_for_caller(self, request: HttpRequest) -> Span:
        """Continues the caller's trace if we trust it. Anybody else's sampling flag, or a trace id chosen to
        pass our sampler, could make us trace everything: theirs is only linked."""
        caller = propagate.extract(
            {name: request.META.get(f"HTTP_{name.upper()}", "") for name in ("traceparent", "tracestate")},
            context=NOWHERE,
        )
        if is_trusted(request.META):
            return self.tracer.start_span(name_of(request), caller, SpanKind.SERVER)
        theirs = trace.get_current_span(caller).get_span_context()
        links = [Link(theirs)] if theirs.is_valid else []
        return self.tracer.start_span(name_of(request), NOWHERE, SpanKind.SERVER, links=links)


def name_of(request: HttpRequest) -> str:
    """The name until the route is known: the method, or "HTTP" for what is none."""
    method = request.method
    return method if method is not None and method in METHODS else "HTTP"


def is_trusted(environ: Mapping[str, Any]) -> bool:
    """Whether the peer itself, and nobody behind it, is in TRACING_TRUSTED_NETWORKS."""
    if not settings.TRACING_TRUSTED_NETWORKS or any(name in environ for name in PROXY_HEADERS):
        return False
    try:
        address = ip_address(environ.get("REMOTE_ADDR", ""))
    except ValueError:  # a Unix socket has no address
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return any(address in network for network in settings.TRACING_TRUSTED_NETWORKS)


class Attributes(dict[str, Any]):
    """Instead of the SDK's mapping, whose checks of each attribute cost more than all else about a span. The
    SDK itself sets `_immutable`."""


def finish(span: Span, request: HttpRequest, status: int) -> None:
    recording: Any = span  # only the SDK's spans are recording
    recording._attributes = Attributes(attributes_of(request, status), **recording.attributes)  # noqa: SLF001
    route = route_of(request)
    name = name_of(request)
    span.update_name(name if route is None else f"{name} /{route.removeprefix('^')}")
    if status >= 500:
        span.set_status(StatusCode.ERROR)
        if telemetry_of(request).exception is None:
            span.set_attribute("error.type", str(status))
    span.end()


def attributes_of(request: HttpRequest, status: int) -> dict[str, str | int]:
    """Values are texts and numbers, no longer than OpenTelemetry's own variables allow."""
    method = request.method or ""
    attributes: dict[str, str | int] = {
        "http.request.method": method if method in METHODS else "_OTHER",
        "http.response.status_code": status,
        "url.scheme": request.scheme or "http",
        "url.path": request.path[:LONGEST],
        "user_agent.original": request.META.get("HTTP_USER_AGENT", "")[:200][:LONGEST],
    }
    identifier = (telemetry_of(request).exemplar or {}).get("request_id")
    if identifier:
        attributes["amani.request_id"] = identifier
    route = route_of(request)
    if route is not None:
        attributes["http.route"] = "/" + route.removeprefix("^")
    user = request.__dict__.get("_cached_user")  # `request.user` might ask the database
    if user is not None and user.is_authenticated:
        attributes["user.id"] = str(user.pk)
    return attributes


def record_exception(request: HttpRequest | None = None, **_: object) -> None:
    """Django sends this for what nobody handled."""
    span, exception = trace.get_current_span(), sys.exc_info()[1]
    if exception is None or not span.is_recording():
        return
    span.record_exception(exception)
    span.set_attribute("error.type", type(exception).__qualname__)
    if request is not None:
        telemetry_of(request).exception = exception
