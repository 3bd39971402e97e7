"""Schemathesis asks every operation of the API's own document, with good and bad data.

Nothing may be a 5xx, nothing may come that the document does not say, and bad data may not pass. Who may call
is tested in amani/tests/test_api_authentication.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import path
from hypothesis import HealthCheck, settings
from ninja import Schema
from schemathesis import Case, checks
from schemathesis.core.failures import FailureGroup

from amani.api import AmaniAPI, raise_again
from amani.tests.people import make_person, token_of
from amani.wsgi import application
from core.registry import Registry
from escrow.escrows.tests.deals import submitted
from escrow.payments import registry
from escrow.payments.tests.fake import FakeProvider
from kyc.tests.people import picture

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

DOCUMENT = "/api/v1/openapi.json"
CHECKS = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
    checks.unsupported_method,
    checks.allow_header_conformance,
]


def served(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    """Answers as a server does, which closes each answer after it is sent. Schemathesis's client does not.

    An answer that is never closed counts as a request in progress in every later test of this process.
    """
    answer = application(environ, start_response)
    try:
        return list(answer)
    finally:
        if isinstance(answer, HttpResponseBase):
            answer.close()


api_document = schemathesis.openapi.from_wsgi(DOCUMENT, served)


@pytest.fixture
def kept_connection() -> Iterator[None]:
    """A real server closes the connection after a request; here it holds the test's transaction."""
    signals = (request_started, request_finished)
    for signal in signals:
        signal.disconnect(close_old_connections)
    yield
    for signal in signals:
        signal.connect(close_old_connections)


@pytest.fixture(autouse=True)
def no_limits(settings: Any) -> None:
    """A refusal for too many requests is in the document too, so it would hide what a route answers."""
    settings.API_REQUESTS_PER_MINUTE_PER_USER = 0
    settings.API_REQUESTS_PER_MINUTE_PER_ADDRESS = 0
    settings.API_UPLOADS_PER_MINUTE_PER_USER = 0


@pytest.fixture(autouse=True)
def payments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a payment provider, payments are answered with 503."""
    monkeypatch.setattr(registry, "PROVIDERS", Registry("payment provider", (FakeProvider(),)))


@pytest.fixture
def token(db: None, kept_connection: None) -> str:
    return token_of(make_person(country="NG"))


def ask(case: Case[Any], token: str) -> Any:
    headers = {"X-Session-Token": token} if token else {}
    answer = case.call(headers=headers)
    case.validate_response(answer, checks=CHECKS, headers=headers)
    return answer


@api_document.parametrize()
@settings(
    max_examples=8,  # besides the systematic cases, for each of some forty operations
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_every_operation_keeps_to_the_document(case: Case[Any], token: str) -> None:
    ask(case, token)


def call(method: str, address: str, token: str, **parts: Any) -> Any:
    return ask(api_document[address][method].Case(**parts), token)


def test_a_whole_story_keeps_to_the_document(token: str, django_capture_on_commit_callbacks: Any) -> None:
    """What random data does not reach: a case that is submitted, read, withdrawn and submitted again."""
    images = {side: picture(side) for side in ("front", "selfie")}
    claim = {"document_type": "passport", "country": "NG", "number": "A01234567"}
    form = {"media_type": "multipart/form-data", "body": {**claim, **images}}
    submitted = call("POST", "/api/v1/kyc/cases", token, **form)
    assert (submitted.status_code, submitted.json()["state"]) == (201, "submitted")
    here = {"path_parameters": {"id": submitted.json()["id"]}}
    assert call("POST", "/api/v1/kyc/cases", token, **form).status_code == 409
    assert call("GET", "/api/v1/kyc/cases/{id}", token, **here).json() == submitted.json()
    assert len(call("GET", "/api/v1/kyc/cases", token).json()["items"]) == 1
    assert call("POST", "/api/v1/kyc/cases/{id}/withdraw", token, **here).json()["state"] == "draft"
    assert call("POST", "/api/v1/kyc/cases/{id}/withdraw", token, **here).status_code == 409
    assert call("POST", "/api/v1/kyc/cases/{id}/resubmit", token, **here, **form).status_code == 409
    assert call("POST", "/api/v1/kyc/cases", token, **form).status_code == 201
    assert call("GET", "/api/v1/kyc/status", token).status_code == 200
    assert call("PATCH", "/api/v1/me", token, body={"full_name": "Ada Obi"}).status_code == 409
    assert call("PATCH", "/api/v1/me", token, body={"country": "NG"}).status_code == 200
    assert call("GET", "/api/v1/me/export", token).status_code == 200
    assert call("DELETE", "/api/v1/me", token).status_code == 403


def test_a_whole_escrow_keeps_to_the_document(db: None, kept_connection: None, mailoutbox: Any) -> None:
    """Each write that succeeds, and a repeated, a stale and a refused one."""
    deal = submitted()
    buyer, seller = token_of(deal.buyer), token_of(deal.seller)
    milestone: dict[str, Any] = {"path_parameters": {"id": str(deal.first.public_id)}}

    def send(path: str, token: str, version: int | None = None, key: str = "", **parts: Any) -> Any:
        headers = {"Idempotency-Key": key or str(uuid4())}
        if version is not None:
            headers["If-Match"] = f'"{version}"'
        json = {"media_type": "application/json"} if "body" in parts else {}
        return call("POST", f"/api/v1/{path}", token, headers=headers, **json, **parts)

    amount = {"amount_minor": 6_000_000, "currency": "NGN"}
    draft = {"role": "seller", "currency": "NGN", "title": "A logo"}
    created = send("escrows", seller, body={**draft, "milestones": [{"title": "All", "amount": amount}]})
    escrow: dict[str, Any] = {"path_parameters": {"id": created.json()["id"]}}
    offered = send("escrows/{id}/propose", seller, 0, body={"other_email": "bola@example.com"}, **escrow)
    invited = send("escrows/{id}/invitations", seller, body={"other_email": deal.buyer.email}, **escrow)
    token = re.findall(r"/invitations/(\S+)", mailoutbox[-1].body)[0]
    joined = send("invitations/accept", buyer, body={"token": token})
    terms_hash = joined.json()["terms"]["hash"]
    agreed = send("escrows/{id}/agree", buyer, 2, body={"terms_hash": terms_hash}, **escrow)
    stale = send("escrows/{id}/cancel", buyer, 2, body={}, **escrow)
    cancelled = send("escrows/{id}/cancel", buyer, 4, body={}, **escrow)
    part = {"amount": {"amount_minor": 500, "currency": "NGN"}}
    released = send("milestones/{id}/release", buyer, 2, "a-key-of-the-buyer", body=part, **milestone)
    again = send("milestones/{id}/release", buyer, 2, "a-key-of-the-buyer", body=part, **milestone)
    refunded = send("milestones/{id}/refund", seller, 3, body={}, **milestone)
    over = send("milestones/{id}/approve", buyer, 4, **milestone)
    done = (created, offered, invited, joined, agreed, cancelled, released, again, refunded)
    assert [answer.status_code for answer in done] == [201, 200, 201, *[200] * 6]
    assert (stale.status_code, over.status_code) == (412, 409)
    assert again.content == released.content
    for address in ("escrows/{id}", "escrows/{id}/events", "escrows/{id}/entries"):
        assert call("GET", f"/api/v1/{address}", buyer, **escrow).status_code == 200
    for address in ("escrows", "milestones", "payouts", "balances"):
        assert call("GET", f"/api/v1/{address}", buyer).status_code == 200
    for address in ("statement", "statement.csv"):
        ngn = {"path_parameters": {"currency": "NGN"}}
        assert call("GET", f"/api/v1/balances/{{currency}}/{address}", seller, **ngn).status_code == 200


# --- It would be seen ---


class Number(Schema):
    number: int


leaky = AmaniAPI(title="Leaky", urls_namespace="leaky")
leaky.add_exception_handler(Exception, raise_again)


@leaky.get("/good", response=Number)
def good(request: HttpRequest) -> Any:
    return {"number": 1}


@leaky.get("/undocumented", response=Number)
def undocumented(request: HttpRequest) -> HttpResponse:
    return HttpResponse(b'{"number": 1}', status=206, content_type="application/json")


@leaky.get("/shape", response=Number)
def shape(request: HttpRequest) -> HttpResponse:
    return HttpResponse(b'{"number": "one"}', content_type="application/json")


@leaky.get("/plain", response=Number)
def plain(request: HttpRequest) -> HttpResponse:
    return HttpResponse(b"1", content_type="text/plain")


@leaky.get("/crash", response=Number)
def crash(request: HttpRequest) -> Any:
    raise ZeroDivisionError


@leaky.get("/error", response=Number)
def error(request: HttpRequest) -> HttpResponse:
    return HttpResponse(b'{"detail": "No."}', status=403, content_type="application/problem+json")


urlpatterns = [path("api/v1/", leaky.urls)]
handler500 = "amani.error_pages.failure"


@pytest.mark.parametrize(
    ("name", "failures"),
    [
        ("good", set()),
        ("undocumented", {"UndefinedStatusCode"}),
        ("shape", {"JsonSchemaError"}),
        ("plain", {"UndefinedContentType"}),
        ("crash", {"ServerError"}),
        ("error", {"JsonSchemaError"}),
    ],
)
def test_what_is_wrong_would_be_seen(
    name: str, failures: set[str], kept_connection: None, settings: Any, db: None
) -> None:
    settings.ROOT_URLCONF = __name__
    document = schemathesis.openapi.from_wsgi(DOCUMENT, served)
    case = document[f"/api/v1/{name}"]["GET"].Case()
    try:
        ask(case, "")
    except FailureGroup as group:
        found = {type(failure).__name__ for failure in group.exceptions}
    else:
        found = set()
    assert found == failures
