"""Django's handlers of errors: problems (RFC 9457) for programs, pages for people."""

from __future__ import annotations

import sys
from http import HTTPStatus

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.views import csrf, defaults

from amani import errors

PROGRAMS = ("/api/", "/_allauth/")


def is_for_programs(request: HttpRequest) -> bool:
    return request.path_info.startswith(PROGRAMS)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    if is_for_programs(request):
        return errors.bad_request(exception)
    return defaults.bad_request(request, exception)


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    return errors.forbidden() if is_for_programs(request) else defaults.permission_denied(request, exception)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponseBase:
    return errors.csrf_failure() if is_for_programs(request) else csrf.csrf_failure(request, reason)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    return errors.not_found() if is_for_programs(request) else defaults.page_not_found(request, exception)


def failure(request: HttpRequest) -> HttpResponseBase:
    """Called while the exception is handled."""
    error = sys.exc_info()[1]
    if is_for_programs(request):
        return errors.failure(error)
    return outage_page() if isinstance(error, errors.OUTAGES) else defaults.server_error(request)


def outage_page() -> HttpResponse:
    details = "Something that Amani needs, its database or Redis, does not answer. Try again in a minute."
    page = defaults.ERROR_PAGE_TEMPLATE % {"title": "Not available now (503)", "details": details}
    retry = str(errors.RETRY_AFTER_SECONDS)
    return HttpResponse(page, status=HTTPStatus.SERVICE_UNAVAILABLE, headers={"Retry-After": retry})
