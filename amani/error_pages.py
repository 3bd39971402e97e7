"""Django's handlers of errors: problems (RFC 9457) for programs, pages for people."""

from __future__ import annotations

import sys
from http import HTTPStatus
from typing import NamedTuple

from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.template.loader import render_to_string
from django.views import csrf

from amani import errors
from amani.hosts import HostRefused
from core.errors import RETRY_AFTER_SECONDS
from core.request_id import current_request_id

PROGRAMS = ("/api/", "/_allauth/")


def is_for_programs(request: HttpRequest) -> bool:
    return request.path_info.startswith(PROGRAMS)


class Page(NamedTuple):
    """What went wrong, and what a person can do about it."""

    status: HTTPStatus
    title: str
    what: str

    def response(self) -> HttpResponse:
        """Asks nobody: what a page usually needs may be what is broken."""
        context = {**self._asdict(), "status": self.status.value, "request_id": current_request_id()}
        return HttpResponse(render_to_string("amani/error.html", context), status=self.status)


BAD_REQUEST = Page(
    HTTPStatus.BAD_REQUEST,
    "That could not be understood",
    "What your browser sent is not what this page takes. Go back, load the page again and repeat it.",
)
TOO_LARGE = Page(
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "That is too much at once",
    "What your browser sent is larger than this page takes. Send fewer or smaller files and texts.",
)
FORBIDDEN = Page(
    HTTPStatus.FORBIDDEN,
    "This is not yours to see",
    "Your account has no role that may open this page or do this. A superuser can give you one.",
)
CSRF_FAILURE = Page(
    HTTPStatus.FORBIDDEN,
    "This form is too old",
    "You have signed in or out since it was opened, or your browser keeps no cookies. Nothing was done. "
    "Go back, load the page again and repeat it.",
)
NOT_FOUND = Page(
    HTTPStatus.NOT_FOUND,
    "There is nothing here",
    "The address is wrong, or what it named is gone.",
)
FAILURE = Page(
    HTTPStatus.INTERNAL_SERVER_ERROR,
    "Amani failed",
    "This is a fault in Amani, and it has been written down. "
    "Look whether what you did was done before you repeat it.",
)
OUTAGE = Page(
    HTTPStatus.SERVICE_UNAVAILABLE,
    "Not available now",
    "Something that Amani needs, its database or Redis, does not answer. Try again in a minute.",
)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    if isinstance(exception, DisallowedHost):
        exception = HostRefused(request.META.get("HTTP_HOST", ""))
    if is_for_programs(request):
        return errors.bad_request(exception)
    if isinstance(exception, HostRefused):
        return Page(HTTPStatus.BAD_REQUEST, "Amani has another name", str(exception)).response()
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


def failure(request: HttpRequest) -> HttpResponseBase:
    """Called while the exception is handled."""
    error = sys.exc_info()[1]
    if is_for_programs(request):
        return errors.failure(error)
    if not errors.is_outage(error):
        return FAILURE.response()
    page = OUTAGE.response()
    page.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return page
