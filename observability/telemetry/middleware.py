"""The two middlewares around every request: its id and its log line, and its metrics.

The log middleware comes first in MIDDLEWARE, the metrics middleware directly after it.
"""

import sys
from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Any

from django.core.signals import got_request_exception
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from core.request_id import choose_request_id, request_id
from observability.metrics import record_database_outage
from observability.telemetry.clock import clock
from observability.telemetry.errors.trail import trail
from observability.telemetry.logs.formatting import AccessRecord, access_logger
from observability.telemetry.metrics.requests import (
    durations_by_label,
    in_progress,
    record_error,
    request_counter,
    request_histogram,
    requests_by_label,
)
from observability.telemetry.request import telemetry_of

GetResponse = Callable[[HttpRequest], HttpResponseBase]


def when_closed(response: HttpResponseBase, finish: Callable[[], None]) -> None:
    """Calls `finish` once, after the server has closed `response`: all is sent, or the client has gone."""
    close = response.close

    def close_and_finish() -> None:
        response.close = close  # type: ignore[method-assign]  # it may be closed again
        try:
            close()
        finally:
            finish()

    response.close = close_and_finish  # type: ignore[method-assign]  # Django has no hook for one response


def route_of(request: HttpRequest) -> str | None:
    match = request.resolver_match
    return match.route if match is not None else None


class MetricsMiddleware:
    """Counts and times each request once, by route template, when its answer has ended.

    A view that raises counts as the 500 that the visitor gets, and a streamed body is timed to its end.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response
        got_request_exception.connect(count_exception, dispatch_uid="observability.middleware")

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        started = perf_counter()
        in_progress.inc(1)
        try:
            response = self.get_response(request)
        except BaseException:  # with DEBUG_PROPAGATE_EXCEPTIONS, or a worker that has to exit
            self.finish(request, 500, started)
            raise
        if response.streaming:
            when_closed(response, partial(self.finish, request, response.status_code, started))
        else:
            self.finish(request, response.status_code, started)
        return response

    def finish(self, request: HttpRequest, status: int, started: float) -> None:
        now = perf_counter()
        in_progress.inc(-1)
        match = request.resolver_match
        route = match.route if match is not None else None
        method = request.method
        exemplar = telemetry_of(request).exemplar
        counter = requests_by_label.get((method, route, status))
        if counter is None:
            counter = request_counter(method, route, status)
        counter.inc(1, exemplar if status >= 500 else None)  # the histogram has those of the others
        histogram = durations_by_label.get((method, route))
        if histogram is None:
            histogram = request_histogram(method, route)
        histogram.observe(now - started, exemplar)
        if now > clock.due:
            clock.count()


def count_exception(request: HttpRequest | None = None, **_: object) -> None:
    """Counts an exception that no view handled. Http404 and PermissionDenied do not send this signal."""
    exception = sys.exc_info()[1]
    record_database_outage(exception)
    if exception is not None and request is not None:
        record_error(exception, route_of(request), telemetry_of(request).exemplar)
    elif exception is not None:
        record_error(exception, None)


class RequestLogMiddleware:
    """Chooses the request's id, echoes it as `X-Request-ID`, and writes one access line per request."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        started = trail.began = perf_counter()
        trail.request = request
        identifier = choose_request_id(request.META.get("HTTP_X_REQUEST_ID"))
        request_id.set(identifier)
        response = self.get_response(request)
        status = response.status_code
        # Private, because Django's checks of a header are twelve Python calls for every request. The id has
        # passed stricter ones.
        response.headers._store["x-request-id"] = "X-Request-ID", identifier  # noqa: SLF001
        if response.streaming:
            when_closed(response, partial(write_access_line, request, status, identifier, started))
        else:
            write_access_line(request, status, identifier, started)
        if response.streaming or status >= 400:  # Django logs a refusal after the middlewares
            when_closed(response, forget_request)
        else:
            forget_request()
        return response


def forget_request() -> None:
    """Makes what this thread does from now on not the request's."""
    request_id.set("")
    trail.request = None


def write_access_line(request: HttpRequest, status: int, identifier: str, started: float) -> None:
    if not access_logger.isEnabledFor(20):
        return
    match = request.resolver_match
    fields: dict[str, Any] = {
        "method": request.method or "",
        "path": request.path,
        "endpoint": "unmatched" if match is None else f"/{match.route}",
        "status": status,
        "duration_ms": round((perf_counter() - started) * 1000, 2),
        "request_id": identifier,
        "remote_address": request.META.get("REMOTE_ADDR") or "",
    }
    telemetry = telemetry_of(request)
    if telemetry.trace is not None:
        fields["trace_id"], fields["span_id"], fields["sampled"] = telemetry.trace
    if telemetry.user is not None:
        fields["user_id"] = telemetry.user.pk
    access_logger.handle(AccessRecord(fields))
