"""Without Redis, which counts attempts to sign in, sign-in is refused and the API continues to work."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from amani import throttling
from amani.tests.people import ME, PASSWORD, Api, make_person
from observability.tests.samples import Change

pytestmark = pytest.mark.django_db


@pytest.fixture
def redis_is_down(settings: Any, free_port: Callable[[], int], monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"redis://127.0.0.1:{free_port()}/0"
    settings.REDIS_URL = url
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    settings.CACHES = {"default": {**settings.CACHES["default"], "LOCATION": url}}
    monkeypatch.setattr(throttling, "counters", throttling.Counters())


ROUTES = {
    "auth/login": {"email": "ada@example.com", "password": PASSWORD},
    "auth/signup": {"email": "new@example.com", "password": PASSWORD},
    "auth/password/request": {"email": "ada@example.com"},
}


@pytest.mark.usefixtures("redis_is_down")
@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("kind", ["app", "browser"])
def test_without_redis_sign_in_says_that_it_is_not_available(kind: str, route: str) -> None:
    make_person("ada@example.com")
    success = Change("amani_logins_total", outcome="success")
    client = Client(raise_request_exception=False)
    answer = client.post(f"/_allauth/{kind}/v1/{route}", ROUTES[route], content_type="application/json")
    problem = answer.json()
    assert (answer.status_code, answer.headers["Content-Type"]) == (503, "application/problem+json")
    assert (problem["code"], problem["request_id"]) == ("unavailable", answer.headers["X-Request-ID"])
    assert int(answer.headers["Retry-After"]) > 0
    assert success() == 0


@pytest.mark.usefixtures("redis_is_down")
def test_without_redis_the_operators_page_says_so_too() -> None:
    make_person("ada@example.com", is_staff=True)
    client = Client(raise_request_exception=False)
    page = client.post("/accounts/login/", {"login": "ada@example.com", "password": PASSWORD})
    assert page.status_code == 503
    assert "Try again in a minute" in page.content.decode()
    assert "_auth_user_id" not in client.session


@pytest.mark.usefixtures("redis_is_down")
def test_without_redis_signed_in_users_can_continue() -> None:
    person = make_person()
    assert Api(person)("GET", ME).status_code == 200
