"""Wraps every view of the API: limits, sizes, HEAD, and headers of the response."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from amani.errors import not_allowed, too_large
from core.bodies import limit_body

View = Callable[..., HttpResponseBase]

# The routes that take files. All others take DATA_UPLOAD_MAX_MEMORY_SIZE at most, also of a form with files.
UPLOADS = frozenset({"api/v1/kyc/cases", "api/v1/kyc/cases/<uuid:id>/resubmit"})


def framed(view: View) -> View:
    """Returns the view behind the limit of the body's size.

    The responses are not cached. HEAD is answered like GET.
    """

    @wraps(view)
    def framed_view(request: HttpRequest, *args: Any, **values: Any) -> HttpResponseBase:
        limit = largest_body(request)
        if body_size(request) > limit:
            return too_large()
        limit_body(request, limit)
        with asked_as_get(request):
            response = view(request, *args, **values)
        if response.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            return not_allowed(with_head(response.headers["Allow"]))
        response.headers.setdefault("Cache-Control", "no-store")
        return response

    return framed_view


@contextmanager
def asked_as_get(request: HttpRequest) -> Iterator[None]:
    """Changes HEAD to GET for the view, because routes know only the methods that they name.

    The server omits the body. Outside the view the method is HEAD again, for metrics, spans and the log.
    """
    method = request.method
    if method == "HEAD":
        request.method = "GET"
    try:
        yield
    finally:
        request.method = method


def with_head(allow: str) -> str:
    return f"{allow}, HEAD" if "GET" in allow else allow


def largest_body(request: HttpRequest) -> int:
    """Returns the limit in bytes. If a form were larger, Django would drop its files without an error."""
    match = request.resolver_match
    if request.content_type == "multipart/form-data" and match is not None and match.route in UPLOADS:
        return int(settings.FILE_UPLOAD_MAX_MEMORY_SIZE)
    return int(settings.DATA_UPLOAD_MAX_MEMORY_SIZE)


def body_size(request: HttpRequest) -> int:
    """Returns Content-Length in bytes, or 0 if it is missing or malformed."""
    length = request.META.get("CONTENT_LENGTH") or ""
    return int(length) if length.isascii() and length.isdigit() and len(length) < 20 else 0
