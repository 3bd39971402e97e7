"""Answers errors that reach Django: with a problem (RFC 9457) for API clients, else with an HTML page."""

from __future__ import annotations

import sys
from base64 import b64encode
from functools import cache
from hashlib import sha256
from http import HTTPStatus
from typing import NamedTuple

from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.template.loader import render_to_string
from django.views import csrf

from amani import errors
from amani.content_policy import HEADER, NOTHING
from amani.hosts import HostRefused
from core import constraints
from core.bodies import BodyNotAwaited
from core.errors import RETRY_AFTER_SECONDS
from core.request_id import current_request_id

PROGRAMS = ("/api/", "/_allauth/")


def is_for_programs(request: HttpRequest) -> bool:
    return request.path_info.startswith(PROGRAMS)


class Page(NamedTuple):
    """An error page: `what` says what happened and what to do."""

    status: HTTPStatus
    title: str
    what: str

    def response(self) -> HttpResponse:
        """Renders the page without session, database or context processors, which may be what fails."""
        context = {**self._asdict(), "status": self.status.value, "request_id": current_request_id()}
        html = render_to_string("amani/error.html", context)
        return HttpResponse(html, status=self.status, headers={HEADER: policy()})


@cache
def policy() -> str:
    """Returns the policy of these pages: their own style, known by its hash, and nothing else."""
    style = render_to_string("amani/error.html").partition("<style>")[2].partition("</style>")[0]
    return f"{NOTHING}; style-src 'sha256-{b64encode(sha256(style.encode()).digest()).decode()}'"


BAD_REQUEST = Page(
    HTTPStatus.BAD_REQUEST,
    "Malformed request",
    "Amani could not read what your browser sent. Go back, reload the page and try again.",
)
TOO_LARGE = Page(
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "Request too large",
    "Your browser sent more than this page accepts. Send fewer or smaller files and texts.",
)
FORBIDDEN = Page(
    HTTPStatus.FORBIDDEN,
    "Not allowed",
    "Your account has no role that may do this. Ask a superuser for the role.",
)
TOO_MANY_REQUESTS = Page(
    HTTPStatus.TOO_MANY_REQUESTS,
    "Too many requests",
    "Your address has sent too many requests in the last minute. Nothing was changed. Try again in a minute.",
)
CSRF_FAILURE = Page(
    HTTPStatus.FORBIDDEN,
    "This form has expired",
    "You have signed in or out since you opened it, or your browser does not accept cookies. Nothing was "
    "changed. Go back, reload the page and try again.",
)
NOT_FOUND = Page(
    HTTPStatus.NOT_FOUND,
    "Page not found",
    "The address is wrong, or the page no longer exists.",
)
FAILURE = Page(
    HTTPStatus.INTERNAL_SERVER_ERROR,
    "Internal error",
    "This is an error in Amani, and it has been recorded. "
    "Before you try again, check whether your change was made.",
)
BUSY = Page(
    HTTPStatus.SERVICE_UNAVAILABLE,
    "Too much at once",
    "Too many requests arrive slowly at the moment. Nothing was changed. Try again in a minute.",
)
OUTAGE = Page(
    HTTPStatus.SERVICE_UNAVAILABLE,
    "Temporarily unavailable",
    "The database or Redis does not answer. Try again in a minute.",
)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    if isinstance(exception, DisallowedHost):
        exception = HostRefused(request.META.get("HTTP_HOST", ""))
    if is_for_programs(request):
        return errors.bad_request(exception)
    if isinstance(exception, HostRefused):
        return Page(HTTPStatus.BAD_REQUEST, "Unknown host name", str(exception)).response()
    if isinstance(exception, BodyNotAwaited):
        return temporary(BUSY)
    return (TOO_LARGE if isinstance(exception, errors.TOO_LARGE) else BAD_REQUEST).response()


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    return errors.forbidden() if is_for_programs(request) else FORBIDDEN.response()


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponseBase:
    if is_for_programs(request):
        return errors.csrf_failure()
    # Django's page names the settings that a developer may have forgotten.
    return csrf.csrf_failure(request, reason) if settings.DEBUG else CSRF_FAILURE.response()


def not_found(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    return errors.not_found() if is_for_programs(request) else NOT_FOUND.response()


def too_many_requests(request: HttpRequest, refusal: errors.TooManyRequests) -> HttpResponseBase:
    if is_for_programs(request):
        return errors.answer_to(refusal)
    response = TOO_MANY_REQUESTS.response()
    response.headers["Retry-After"] = str(refusal.seconds)
    return response


def failure(request: HttpRequest) -> HttpResponseBase:
    """Answers an unhandled exception: 503 for an outage, 409 for a violated constraint that has an answer.

    Runs while the exception is handled.
    """
    error = sys.exc_info()[1]
    if is_for_programs(request):
        return errors.failure(error)
    if taken := constraints.answer_to(error):
        return Page(HTTPStatus.CONFLICT, "Nothing was changed", str(taken)).response()
    if not errors.is_outage(error):
        return FAILURE.response()
    return temporary(OUTAGE)


def temporary(page: Page) -> HttpResponse:
    """Renders the page and says when to try again."""
    response = page.response()
    response.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return response
