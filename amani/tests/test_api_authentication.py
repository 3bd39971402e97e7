"""Tests that every route requires a session of an active user with a verified address."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.conf import settings
from django.test import Client

from accounts.models import User
from amani.api import api as ninja_api
from amani.tests.people import ME, PASSWORD, Api, make_person, token_of
from observability.telemetry.request import telemetry_of

pytestmark = pytest.mark.django_db
ANY_ID = "00000000-0000-4000-8000-000000000000"


def every_operation() -> list[tuple[str, str]]:
    paths = ninja_api.get_openapi_schema(path_prefix="/api/v1/")["paths"]
    return [
        (method.upper(), re.sub(r"\{[^}]+\}", ANY_ID, path))
        for path, found in paths.items()
        for method in found
    ]


def test_there_are_operations_to_ask_for() -> None:
    assert {("GET", ME), ("PATCH", ME), ("DELETE", ME), ("POST", "/api/v1/kyc/cases")} <= set(
        every_operation()
    )


@pytest.mark.parametrize(("method", "path"), every_operation())
@pytest.mark.parametrize(
    "headers",
    [{}, {"X-Session-Token": "x" * 32}, {"X-Session-Token": ""}, {"Authorization": "Bearer x"}],
    ids=["nothing", "unknown token", "empty token", "bearer"],
)
def test_every_operation_requires_authentication(method: str, path: str, headers: dict[str, str]) -> None:
    answer: Any = Client().generic(method, path, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (401, "not_signed_in")
    assert answer["WWW-Authenticate"] == 'Session realm="Amani"'


HOSTILE = ["abcdefgh\0", "\udce9" * 9, "x" * 100_000, "' OR 1=1 --", "../../../../etc", "\u0661" * 32]


@pytest.mark.parametrize("key", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize(("path", "status"), [(ME, 401), ("/_allauth/app/v1/auth/session", 410)])
def test_a_key_that_no_session_can_have_is_a_wrong_key(key: str, path: str, status: int) -> None:
    assert Client().get(path, HTTP_X_SESSION_TOKEN=key).status_code == status


@pytest.mark.parametrize(
    ("path", "status"), [(ME, 401), ("/_allauth/browser/v1/config", 200), ("/admin/", 302)]
)
def test_a_cookie_that_no_session_can_have_is_a_wrong_cookie(path: str, status: int) -> None:
    quoted_nul = 'sessionid="abcdefgh\\000"'
    assert Client().get(path, HTTP_COOKIE=quoted_nul).status_code == status


def test_every_operation_says_how_to_sign_in() -> None:
    paths = ninja_api.get_openapi_schema(path_prefix="/api/v1/")["paths"]
    found = [operation["security"] for path in paths.values() for operation in path.values()]
    assert found == [[{"SessionToken": []}, {"SessionCookie": []}]] * len(every_operation())


def test_a_token_of_the_apps_sign_in_opens_the_api() -> None:
    person = make_person()
    client = Client()
    signed_in: Any = client.post(
        "/_allauth/app/v1/auth/login",
        {"email": person.email, "password": PASSWORD},
        content_type="application/json",
    )
    token = signed_in.json()["meta"]["session_token"]
    answer: Any = Client().get(ME, headers={"X-Session-Token": token})
    assert (answer.status_code, answer.json()["email"]) == (200, person.email)
    assert settings.SESSION_COOKIE_NAME not in answer.cookies


def test_a_token_ends_with_the_sign_out_the_password_and_the_account() -> None:
    person = make_person()
    api = Api(person)
    person.set_password("another horse battery staple")
    person.save()
    assert api("GET", ME).status_code == 401
    api = Api(person)
    assert api("GET", ME).status_code == 200
    person.is_active = False
    person.save()
    assert api("GET", ME).status_code == 401


@pytest.mark.parametrize("verified", [None, "another@example.com"])
def test_only_a_verified_address_opens_the_api(verified: str | None) -> None:
    person = make_person(verified=False)
    if verified:
        person.emailaddress_set.update(email=verified, verified=True)  # type: ignore[attr-defined]
    refused: Any = Api(person)("GET", ME)
    assert (refused.status_code, refused.json()["code"]) == (403, "email_not_verified")


def browser_of(person: User) -> Client:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(person)
    return browser


def test_a_browser_reads_with_its_cookie() -> None:
    person = make_person()
    answer: Any = browser_of(person).get(ME)
    assert (answer.status_code, answer.json()["id"]) == (200, person.pk)


def test_a_browser_changes_nothing_without_the_csrf_token() -> None:
    person = make_person(full_name="Ada Obi")
    browser = browser_of(person)
    refused: Any = browser.patch(ME, {"full_name": "Eve"}, content_type="application/json")
    assert (refused.status_code, refused.json()["code"]) == (403, "csrf_failed")
    person.refresh_from_db()
    assert person.full_name == "Ada Obi"


def test_signing_in_from_a_browser_without_the_csrf_token_is_a_problem_too() -> None:
    browser = Client(enforce_csrf_checks=True)
    login = {"email": "ada@example.com", "password": "wrong"}
    url = "/_allauth/browser/v1/auth/login"
    refused: Any = browser.post(url, login, content_type="application/json")
    assert (refused.status_code, refused.json()["code"]) == (403, "csrf_failed")


def test_a_browser_changes_things_with_the_csrf_token() -> None:
    browser = browser_of(make_person())
    browser.get("/api/v1/docs")
    token = browser.cookies["csrftoken"].value
    answer: Any = browser.patch(
        ME, {"full_name": "Ada Obi"}, content_type="application/json", headers={"X-CSRFToken": token}
    )
    assert (answer.status_code, answer.json()["full_name"]) == (200, "Ada Obi")


def test_strangers_get_no_csrf_error() -> None:
    answer: Any = Client(enforce_csrf_checks=True).patch(ME, {}, content_type="application/json")
    assert answer.status_code == 401


def test_a_wrong_token_does_not_hide_a_good_cookie() -> None:
    answer = browser_of(make_person()).get(ME, headers={"X-Session-Token": "x" * 32})
    assert answer.status_code == 200


def test_answers_about_a_person_are_kept_nowhere() -> None:
    assert Api(make_person())("GET", ME)["Cache-Control"] == "no-store"


def test_the_access_line_names_the_user(caplog: pytest.LogCaptureFixture) -> None:
    person = make_person()
    request: Any = Client().get(ME, headers={"X-Session-Token": token_of(person)}).wsgi_request
    assert telemetry_of(request).user == person
