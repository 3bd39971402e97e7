"""Every error below /api/v1 has one shape, whether Ninja, Django, Amani or the database raised it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied, TooManyFieldsSent
from django.core.signals import got_request_exception
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpResponse
from django.http.multipartparser import MultiPartParserError
from django.test import Client
from redis.exceptions import ConnectionError as RedisGone

from accounts.models import User
from amani.errors import Problem, fields_of
from amani.tests.people import ME, Api, make_person
from core import errors

pytestmark = pytest.mark.django_db


@pytest.fixture
def person() -> User:
    return make_person(full_name="Ada Obi", country="NG")


@pytest.fixture
def api(person: User) -> Api:
    return Api(person)


@pytest.fixture
def reported() -> Iterator[list[str]]:
    """The classes of the exceptions that are reported to Sentry and errors_total."""
    classes: list[str] = []

    def note(**_: Any) -> None:
        classes.append(type(sys.exc_info()[1]).__name__)

    got_request_exception.connect(note)
    yield classes
    got_request_exception.disconnect(note)


def problem(answer: HttpResponse, status: int) -> dict[str, Any]:
    """The body, after a look at what all problems have in common."""
    assert (answer.status_code, answer["Content-Type"]) == (status, "application/problem+json")
    assert answer["Cache-Control"] == "no-store"
    body: dict[str, Any] = json.loads(answer.content)
    Problem.model_validate(body)
    assert body["status"] == status
    assert body["request_id"] == answer["X-Request-ID"]
    return body


BODIES: list[tuple[str, str | bytes, int, str, dict[str, list[str]]]] = [
    ("broken JSON", "{", 400, "unreadable_body", {}),
    ("no UTF-8", b'{"full_name": "\xff"}', 400, "unreadable_body", {}),
    ("NaN", '{"country": NaN}', 400, "unreadable_body", {}),
    ("too deep", "[" * 60_000, 400, "unreadable_body", {}),
    ("too long a number", "1" * 5000, 400, "unreadable_body", {}),
    (
        "NUL",
        '{"full_name": "Ada\\u0000"}',
        422,
        "invalid_input",
        {"full_name": ["Contains NUL or half of a surrogate pair."]},
    ),
    (
        "half a surrogate pair",
        '{"country": ["\\ud800"]}',
        422,
        "invalid_input",
        {"country": ["Contains NUL or half of a surrogate pair."]},
    ),
    (
        "a name with an unstorable character",
        '{"\\udfff": 1}',
        422,
        "invalid_input",
        {"body": ["Contains NUL or half of a surrogate pair."]},
    ),
    (
        "unknown field",
        '{"email": "eve@example.com"}',
        422,
        "invalid_input",
        {"email": ["Extra inputs are not permitted"]},
    ),
    ("null", '{"country": null}', 422, "invalid_input", {"country": ["Input should be a valid string"]}),
    ("nothing", "", 422, "invalid_input", {"body": ["Field required"]}),
    (
        "a list",
        "[]",
        422,
        "invalid_input",
        {"body": ["Input should be a valid dictionary or object to extract fields from"]},
    ),
]


@pytest.mark.parametrize(
    ("body", "status", "code", "fields"), [row[1:] for row in BODIES], ids=[row[0] for row in BODIES]
)
def test_a_bad_body_is_refused_and_changes_nothing(
    body: str | bytes, status: int, code: str, fields: dict[str, list[str]], api: Api, person: User
) -> None:
    refused = problem(api("PATCH", ME, body), status)
    assert (refused["code"], refused["fields"]) == (code, fields)
    person.refresh_from_db()
    assert (person.full_name, person.country) == ("Ada Obi", "NG")


def test_another_media_type_is_refused(api: Api, person: User) -> None:
    answer = api("PATCH", ME, '{"full_name": "Eve"}', content_type="text/plain")
    refused = problem(answer, 415)
    assert refused["message"] == "Send the body as application/json, and set Content-Type accordingly."
    person.refresh_from_db()
    assert person.full_name == "Ada Obi"


def test_a_body_over_the_limit_is_not_read(api: Api, settings: Any) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100
    assert problem(api("PATCH", ME, "x" * 101), 413)["code"] == "too_large"
    settings.FILE_UPLOAD_MAX_MEMORY_SIZE = 1000
    form = "multipart/form-data; boundary=x"
    answer = api("POST", "/api/v1/kyc/cases", b"x" * 1001, content_type=form)
    assert problem(answer, 413)["code"] == "too_large"


def test_a_broken_form_is_refused(api: Api) -> None:
    answer = api("POST", "/api/v1/kyc/cases", b"x", content_type="multipart/form-data")
    assert problem(answer, 400)["code"] == "bad_request"


def test_a_form_where_json_was_sent_is_refused(api: Api) -> None:
    refused = problem(api("POST", "/api/v1/kyc/cases", {"country": "NG"}), 415)
    assert "multipart/form-data" in refused["message"]


def test_a_method_that_a_route_does_not_have_names_those_it_has(api: Api) -> None:
    answer = api("POST", ME)
    assert problem(answer, 405)["message"] == "Use DELETE, GET, HEAD, PATCH."
    assert answer["Allow"] == "DELETE, GET, HEAD, PATCH"


@pytest.mark.parametrize("path", ["/api/v1/nothing", "/api/v1/", "/api/nothing", "/api/v1/me/"])
def test_an_unknown_address_is_a_problem(path: str) -> None:
    assert problem(Api()("GET", path), 404)["code"] == "not_found"


def test_an_unknown_object_is_a_problem(api: Api) -> None:
    answer = api("GET", "/api/v1/kyc/cases/00000000-0000-4000-8000-000000000000")
    assert problem(answer, 404)["status"] == 404


def test_a_foreign_host_is_a_problem(api: Api) -> None:
    answer = api("GET", ME, headers={"host": "evil.example"})
    refused = problem(answer, 400)
    assert refused["code"] == "host_refused"
    assert refused["message"] == (
        "The host “evil.example” is not in ALLOWED_HOSTS. "
        "Use a name that is, or add this one to the setting ALLOWED_HOSTS."
    )


def test_pages_for_people_stay_pages() -> None:
    answer = Client().get("/nothing")
    assert (answer.status_code, answer["Content-Type"]) == (404, "text/html; charset=utf-8")
    answer = Client().get("/accounts/login/", headers={"host": "evil.example"})
    assert (answer.status_code, answer["Content-Type"]) == (400, "text/html; charset=utf-8")


class Closed(errors.Conflict):
    code = "closed"


class Asleep(errors.Unavailable):
    code = "asleep"


RAISED = [
    (errors.Invalid("Wrong.", fields={"country": ["No."]}), 422, "invalid", []),
    (errors.TooLarge("Large."), 413, "too_large", []),
    (errors.WrongType("Odd."), 415, "wrong_type", []),
    (errors.Forbidden("No."), 403, "forbidden", []),
    (errors.NotFound("Gone."), 404, "not_found", []),
    (Closed("Closed."), 409, "closed", []),
    (Asleep("Asleep."), 503, "asleep", []),
    (errors.AmaniError("Odd."), 400, "error", []),
    (Http404("secret"), 404, "not_found", []),
    (PermissionDenied("secret"), 403, "forbidden", []),
    (TooManyFieldsSent("secret"), 413, "too_large", []),
    (MultiPartParserError("secret"), 400, "bad_request", []),
    (OperationalError("secret"), 503, "unavailable", ["OperationalError"]),
    (InterfaceError("secret"), 503, "unavailable", ["InterfaceError"]),
    (RedisGone("secret"), 503, "unavailable", ["ConnectionError"]),
    (ZeroDivisionError("secret"), 500, "internal_error", ["ZeroDivisionError"]),
]


@pytest.mark.parametrize(
    ("error", "status", "code", "expected"), RAISED, ids=[type(row[0]).__name__ for row in RAISED]
)
def test_what_a_view_raises_becomes_a_problem_and_shows_no_internals(
    error: Exception,
    status: int,
    code: str,
    expected: list[str],
    api: Api,
    reported: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(**_: Any) -> None:
        raise error

    monkeypatch.setattr("accounts.api.update_profile", fail)
    answer = api("PATCH", ME, {"full_name": "Ada"})
    body = problem(answer, status)
    assert body["code"] == code
    assert body["fields"] == getattr(error, "fields", {})
    assert "secret" not in answer.content.decode()
    assert answer.headers.get("Retry-After") == ("5" if status == 503 else None)
    assert reported == expected


def test_an_unhandled_error_is_counted(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    from observability.telemetry.metrics.requests import errors_total

    def fail(**_: Any) -> None:
        raise ZeroDivisionError

    child = errors_total.labels("ZeroDivisionError", "/api/v1/me")
    before = child._value.get()
    monkeypatch.setattr("accounts.api.update_profile", fail)
    assert api("PATCH", ME, {"full_name": "Ada"}).status_code == 500
    assert child._value.get() == before + 1


def test_a_dead_database_is_a_503_already_while_signing_in(
    api: Api, monkeypatch: pytest.MonkeyPatch, reported: list[str]
) -> None:
    def gone(_token: str) -> None:
        raise OperationalError("secret")

    monkeypatch.setattr("amani.authentication.authenticate_by_x_session_token", gone)
    answer = api("GET", ME)
    assert problem(answer, 503)["code"] == "unavailable"
    assert reported == ["OperationalError"]


def test_the_names_of_fields_are_the_callers() -> None:
    def wrong(*location: str | int) -> dict[str, Any]:
        return {"loc": location, "msg": "Value error, No."}

    found = [wrong("body", "change", "items", 0, "amount"), wrong("form", "number"), wrong("body", "change")]
    assert fields_of(found) == {"items.0.amount": ["No."], "number": ["No."], "body": ["No."]}


def test_an_error_does_not_grow_with_what_was_sent() -> None:
    many = [{"loc": ("body", "change", f"{number}" * 1000), "msg": "No."} for number in range(1000)]
    fields = fields_of(many)
    assert len(fields) == 50
    assert max(map(len, fields)) == 100
