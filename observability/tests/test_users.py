"""A user is named in log line, span and event once a view has asked for it, and nothing else loads it."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.sessions.backends.db import SessionStore
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory

from observability.telemetry.request import telemetry_of
from observability.telemetry.traces.requests import TracingMiddleware
from observability.telemetry.users import UserMiddleware
from observability.tests.recorded import recording

pytestmark = pytest.mark.django_db


def ask(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(request.user.is_authenticated))


def ask_nothing(_request: HttpRequest) -> HttpResponse:
    return HttpResponse()


@pytest.fixture
def person() -> Any:
    return get_user_model().objects.create_user("someone@example.com")


def answer(view: Any, request: HttpRequest) -> Any:
    return UserMiddleware(view)(request)


def request_of(person: Any = None) -> HttpRequest:
    """A request with a session that nothing has been read from."""
    request = RequestFactory().get("/fine")
    key = None
    if person is not None:
        client = Client()
        client.force_login(person)
        key = client.session.session_key
    request.session = SessionStore(key)
    return request


def test_a_user_that_a_view_asked_for_is_kept(person: Any) -> None:
    request = request_of(person)
    assert answer(ask, request).content == b"True"
    assert telemetry_of(request).user == person


def test_a_user_that_no_view_asked_for_is_not_loaded(person: Any, django_assert_num_queries: Any) -> None:
    request = request_of(person)
    with django_assert_num_queries(0):
        answer(ask_nothing, request)
    assert telemetry_of(request).user is None


def test_a_stranger_is_no_user() -> None:
    request = request_of()
    assert answer(ask, request).content == b"False"
    assert telemetry_of(request).user is None


def test_the_span_names_the_user(person: Any, settings: Any) -> None:
    settings.TRACING_ENABLED = True
    with recording() as found:
        TracingMiddleware(partial(answer, ask))(request_of(person))
        (span,) = (span for span in found.spans() if span.name.startswith("GET"))
        assert (span.attributes or {})["user.id"] == str(person.pk)
