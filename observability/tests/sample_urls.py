"""An application with one view for each way in which a request can end."""

import time
from collections.abc import Iterator
from pathlib import Path

from django.core.exceptions import PermissionDenied
from django.db import connection
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import include, path, re_path

from core.request_id import current_request_id
from observability.tests import patient_exit  # noqa: F401  (how long an end may take)


class BrokenViewError(Exception):
    pass


def fine(_request: HttpRequest) -> HttpResponse:
    return HttpResponse("fine")


def one_query(_request: HttpRequest) -> HttpResponse:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return HttpResponse("queried")


def broken(_request: HttpRequest) -> HttpResponse:
    raise BrokenViewError("broken on purpose")


def missing(_request: HttpRequest, number: int) -> HttpResponse:
    raise Http404(f"no {number}")


def forbidden(_request: HttpRequest) -> HttpResponse:
    raise PermissionDenied


def unavailable(_request: HttpRequest) -> HttpResponse:
    return HttpResponse(status=503)


def streamed(_request: HttpRequest) -> StreamingHttpResponse:
    def body() -> Iterator[bytes]:
        yield b"one "
        yield b"two"

    return StreamingHttpResponse(body())


def file(_request: HttpRequest) -> FileResponse:
    return FileResponse(Path(__file__).open("rb"))


def endless(_request: HttpRequest) -> StreamingHttpResponse:
    def body() -> Iterator[bytes]:
        while True:
            yield b"more " * 1000

    return StreamingHttpResponse(body())


def breaking_off(_request: HttpRequest) -> StreamingHttpResponse:
    def body() -> Iterator[bytes]:
        yield b"one "
        raise BrokenViewError("broken in the middle")

    return StreamingHttpResponse(body())


def slow(_request: HttpRequest) -> HttpResponse:
    time.sleep(60)
    return HttpResponse("late")


def busy(_request: HttpRequest) -> HttpResponse:
    """Long enough to be seen by a profiler that looks a hundred times a second."""
    began = time.perf_counter()
    while time.perf_counter() - began < 0.2:
        pass
    return HttpResponse("busy")


def whose(_request: HttpRequest) -> HttpResponse:
    return HttpResponse(current_request_id())


urlpatterns = [
    path("fine", fine),
    path("query", one_query),
    path("broken", broken),
    path("things/<int:number>", missing),
    path("forbidden", forbidden),
    path("unavailable", unavailable),
    path("streamed", streamed),
    path("file", file),
    path("endless", endless),
    path("breaking-off", breaking_off),
    path("slow", slow),
    path("busy", busy),
    path("whose", whose),
    re_path(r"^pattern/(?P<name>[a-z]+)$", lambda _request, name: HttpResponse(name)),
    path("", include("observability.urls")),
]
