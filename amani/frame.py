"""What happens around every route of the API, before its view and after."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from amani import throttling
from amani.errors import TooManyRequests, answer_to, not_allowed, too_large

View = Callable[..., HttpResponseBase]


def framed(view: View) -> View:
    """Counts the address, refuses what is too large to read, and keeps answers out of caches."""

    @wraps(view)
    def framed_view(request: HttpRequest, *args: Any, **values: Any) -> HttpResponseBase:
        try:
            throttling.count_address(request)
        except TooManyRequests as refusal:
            return answer_to(refusal)
        if body_size(request) > largest_body(request):
            return too_large()
        with asked_as_get(request):
            response = view(request, *args, **values)
        if response.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            return not_allowed(with_head(response.headers["Allow"]))
        response.headers.setdefault("Cache-Control", "no-store")
        return response

    return framed_view


@contextmanager
def asked_as_get(request: HttpRequest) -> Iterator[None]:
    """HEAD is GET to a route, which knows only the methods it names; the server leaves out the body.

    Only for the route: metrics, spans and the access line are to say HEAD.
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
    """Of a larger form, Django would leave out the files without a word."""
    if request.content_type == "multipart/form-data":
        return int(settings.FILE_UPLOAD_MAX_MEMORY_SIZE)
    return int(settings.DATA_UPLOAD_MAX_MEMORY_SIZE)


def body_size(request: HttpRequest) -> int:
    length = request.META.get("CONTENT_LENGTH") or ""
    return int(length) if length.isascii() and length.isdigit() and len(length) < 20 else 0
