"""Errors at a Sentry over real HTTP: which arrive, once each, and what they say."""

import logging
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.core.signals import got_request_exception
from django.db import connection
from django.http import Http404, HttpRequest, HttpResponse
from django.test import Client
from django.urls import path
from opentelemetry.sdk.trace import TracerProvider

from observability import sentry
from observability.request_id import request_id
from observability.sentry import add_breadcrumb, capture_exception
from observability.tests.fake_sentry import KEY, FakeSentry
from observability.tests.samples import Change
from observability.trail import trail

pytestmark = [pytest.mark.urls(__name__), pytest.mark.django_db]

IDENTIFIER = "request-0123456789"
tracer = TracerProvider(shutdown_on_exit=False).get_tracer(__name__)


class RefusedError(Exception):
    pass


def broken(_request: HttpRequest, number: int) -> HttpResponse:
    secret_local = "planted-local"
    add_breadcrumb(message="before", category="step", data={"number": number})
    with connection.cursor() as cursor:
        cursor.execute("SELECT 'planted-literal', %s", [secret_local])
    logging.getLogger("sample").warning("nearly there")
    raise RefusedError("broken on purpose")


def broken_for_somebody(request: HttpRequest) -> HttpResponse:
    assert request.user.pk  # loads the user, as most views do
    raise RefusedError


def traced(_request: HttpRequest) -> HttpResponse:
    with tracer.start_as_current_span("by hand") as span:
        context = span.get_span_context()
        try:
            raise RefusedError
        except RefusedError as error:
            capture_exception(
                error, context={"trace": f"{context.trace_id:032x}", "span": f"{context.span_id:016x}"}
            )
    return HttpResponse()


def handled_then_raised(_request: HttpRequest) -> HttpResponse:
    try:
        raise RefusedError
    except RefusedError as error:
        capture_exception(error)
        raise


def missing(_request: HttpRequest) -> HttpResponse:
    raise Http404


def forbidden(_request: HttpRequest) -> HttpResponse:
    raise PermissionDenied


urlpatterns = [
    path("broken/<int:number>", broken),
    path("somebody", broken_for_somebody),
    path("traced", traced),
    path("twice", handled_then_raised),
    path("missing", missing),
    path("forbidden", forbidden),
]


@pytest.fixture
def server() -> Iterator[FakeSentry]:
    server = FakeSentry()
    yield server
    server.close()


@pytest.fixture
def on(server: FakeSentry, settings: Any) -> Iterator[FakeSentry]:
    """Sentry is on, as in a web process."""
    settings.SENTRY_DSN = server.dsn
    sentry.start("web")
    yield server
    sentry.stop(2)


@pytest.fixture
def browser() -> Client:
    return Client(raise_request_exception=False, headers={"X-Request-ID": IDENTIFIER})


def test_an_unhandled_error_is_one_event_with_route_and_request_id(on: FakeSentry, browser: Client) -> None:
    assert browser.get("/broken/5?planted=query").status_code == 500
    sentry.stop(5)
    event = on.event()
    assert event["transaction"] == "/broken/<int:number>"
    assert event["exception"]["values"][0]["type"] == "RefusedError"
    assert event["exception"]["values"][0]["value"] == "broken on purpose"
    assert event["exception"]["values"][0]["mechanism"] == {"type": "django", "handled": False}
    assert event["tags"] == {
        "endpoint": "/broken/<int:number>",
        "request_id": IDENTIFIER,
        "amani.process": "web",
    }
    assert event["request"]["url"] == "http://testserver/broken/5"
    assert event["level"] == "error"
