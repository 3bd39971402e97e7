"""Tests /api/v1/kyc: responses, and that users cannot see cases of others."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from allauth.account.models import EmailAddress
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from kyc import cases
from kyc.models import Case, Document, Side, State
from kyc.tests.people import (
    REFUSAL,
    approved,
    in_review,
    make_person,
    make_reviewer,
    new_number,
    picture,
    rejected,
    submitted,
)

pytestmark = pytest.mark.django_db

CASES = "/api/v1/kyc/cases"
STATUS = "/api/v1/kyc/status"


class App:
    """A user's app with a session token."""

    def __init__(self, person: User) -> None:
        EmailAddress.objects.create(user=person, email=person.email, verified=True, primary=True)
        browser = Client()
        browser.force_login(person)
        self.person = person
        self.client = Client(headers={"X-Session-Token": str(browser.session.session_key)})

    def get(self, path: str, status: int = 200) -> Any:
        return checked(self.client.get(path), status)

    def post(self, path: str, status: int, **fields: Any) -> Any:
        return checked(self.client.post(path, fields), status)


def checked(response: Any, status: int) -> Any:
    assert response.status_code == status, response.content
    assert response["Cache-Control"] == "no-store"
    body = response.json()
    assert status < 400 or set(body) == {"title", "status", "code", "message", "fields", "request_id"}
    return body


@pytest.fixture
def app() -> App:
    return App(make_person())


def file(side: str = "front", name: str = "photo.jpg", content: bytes | None = None) -> SimpleUploadedFile:
    return SimpleUploadedFile(name, picture(side) if content is None else content, "image/jpeg")


def form(**changes: Any) -> dict[str, Any]:
    fields = {"document_type": "passport", "country": "NG", "number": new_number()}
    files = {"front": file(), "selfie": file("selfie")}
    chosen = {**fields, **files, **changes}
    return {name: value for name, value in chosen.items() if value is not None}


def nothing_stored() -> bool:
    return not (Case.objects.exists() or Document.objects.exists())


def test_a_document_is_submitted_and_shown_masked(app: App) -> None:
    response = app.client.post(CASES, form(number="A 1234 5678"))
    shown = checked(response, 201)
    assert response["Location"] == f"{CASES}/{shown['id']}"
    assert (shown["state"], shown["number"], shown["steps"]) == ("submitted", "•••••••678", ["withdraw"])
    assert [(image["side"], image["content_type"]) for image in shown["images"]] == [
        ("front", "image/jpeg"),
        ("selfie", "image/jpeg"),
    ]
    assert "A12345678" not in response.content.decode()
    assert app.get(response["Location"]) == shown
    assert app.get(CASES) == {"items": [shown], "next": None}


def test_the_same_request_again_is_a_conflict_that_names_the_case(app: App) -> None:
    first = app.post(CASES, 201, **form())
    problem = app.post(CASES, 409, **form())
    assert problem["code"] == "case_open"
    assert first["id"] in problem["message"]
    assert Case.objects.count() == 1
    assert Document.objects.count() == 2


@pytest.mark.parametrize(
    ("changes", "status", "fields"),
    [
        ({"document_type": None}, 422, {"document_type"}),
        ({"document_type": "library_card"}, 422, {"document_type"}),
        ({"country": None}, 422, {"country"}),
        ({"country": "XX"}, 422, {"country"}),
        ({"country": "Nigeria"}, 422, {"country"}),
        ({"number": None}, 422, {"number"}),
        ({"number": ""}, 422, {"number"}),
        ({"number": "A1234567"}, 422, {"number"}),
        ({"number": "A1234\u200b5678"}, 422, {"number"}),
        ({"number": "\u202eA12345678"}, 422, {"number"}),
        ({"number": "A1234567\x00"}, 422, {"number"}),
        ({"number": "A" * 10_000}, 422, {"number"}),
        ({"document_type": "nin", "country": "GH", "number": "12345678901"}, 422, {"country"}),
        ({"front": None}, 422, {"front"}),
        ({"front": None, "selfie": None}, 422, {"front", "selfie"}),
        ({"front": "no file"}, 422, {"front"}),
        ({"back": "no file"}, 422, {"back"}),
        ({"selfie": ""}, 422, {"selfie"}),
        ({"front": SimpleUploadedFile("a.jpg", b"", "image/jpeg")}, 422, {"front"}),
        ({"front": SimpleUploadedFile("a.jpg", b"MZ\x90\x00" * 99, "image/jpeg")}, 415, {"front"}),
    ],
)
def test_bad_input_is_a_clear_4xx_and_nothing_is_stored(
    app: App, changes: dict[str, Any], status: int, fields: set[str]
) -> None:
    problem = app.post(CASES, status, **form(**changes))
    assert set(problem["fields"]) == fields
    assert nothing_stored()


def test_a_file_that_is_too_large_is_named(app: App, settings: Any) -> None:
    settings.KYC_MAX_FILE_BYTES = 1_000
    problem = app.post(CASES, 413, **form())
    assert set(problem["fields"]) == {"front"}
    assert nothing_stored()


def test_a_body_of_another_type_is_refused(app: App) -> None:
    response = app.client.post(CASES, b"{}", content_type="application/json")
    assert checked(response, 415)["code"] == "unsupported_media_type"
    assert nothing_stored()


def test_strangers_are_asked_to_sign_in() -> None:
    for response in (
        Client().get(CASES),
        Client().get(f"{CASES}/{uuid4()}"),
        Client().get(STATUS),
        Client().post(CASES, form()),
        Client().post(f"{CASES}/{uuid4()}/resubmit"),
        Client().post(f"{CASES}/{uuid4()}/withdraw"),
    ):
        assert checked(response, 401)["code"] == "not_signed_in"
    assert nothing_stored()


def test_another_persons_case_is_answered_like_one_that_is_not_there(app: App) -> None:
    other = submitted()
    answers = []
    for public_id in (other.public_id, uuid4()):
        path = f"{CASES}/{public_id}"
        problems = (
            app.get(path, 404),
            app.post(f"{path}/resubmit", 404, **form()),
            app.post(f"{path}/withdraw", 404),
            app.get(f"{CASES}?cursor={public_id}", 404),
        )
        answers.append([{**problem, "request_id": ""} for problem in problems])
    assert answers[0] == answers[1]
    assert app.get(CASES) == {"items": [], "next": None}
    other.refresh_from_db()
    assert (other.state, other.version) == (State.SUBMITTED, 1)


@pytest.mark.parametrize("path", ["1", "not-a-uuid", "00000000", "..%2f..%2fetc%2fpasswd", "%00"])
def test_an_id_that_is_none_is_not_found(app: App, path: str) -> None:
    assert app.client.get(f"{CASES}/{path}").status_code in {404, 422}


def test_a_rejected_case_says_why_and_comes_back(app: App) -> None:
    case = rejected(make_reviewer(), app.person)
    shown = app.get(f"{CASES}/{case.public_id}")
    assert (shown["state"], shown["reason_code"], shown["reason"]) == ("rejected", *REFUSAL.values())
    assert shown["steps"] == ["resubmit"]
    assert app.get(STATUS)["next"] == "resubmit"
    again = app.post(f"{CASES}/{case.public_id}/resubmit", 200, front=file("back"))
    assert (again["state"], again["reason"], again["reason_code"]) == ("submitted", "", None)
    assert [image["side"] for image in again["images"]] == ["selfie", "front"]
    problem = app.post(f"{CASES}/{case.public_id}/resubmit", 409, front=file("back"))
    assert problem["code"] == "not_in_this_state"


def test_a_case_refused_as_a_fraud_offers_no_step_and_asks_for_a_document_anew(app: App) -> None:
    reviewer = make_reviewer()
    case = in_review(reviewer, app.person)
    cases.reject(case_id=case.pk, reviewer=reviewer, reason_code="duplicate", reason="Somebody else's.")
    assert app.get(f"{CASES}/{case.public_id}")["steps"] == []
    assert app.get(STATUS)["next"] == "submit"
    assert app.post(f"{CASES}/{case.public_id}/resubmit", 409)["code"] == "not_in_this_state"


def test_a_case_is_withdrawn_once(app: App) -> None:
    case = submitted(app.person)
    shown = app.post(f"{CASES}/{case.public_id}/withdraw", 200)
    assert (shown["state"], shown["images"], shown["steps"]) == ("draft", [], ["submit"])
    assert app.post(f"{CASES}/{case.public_id}/withdraw", 409)["code"] == "not_in_this_state"
    assert app.post(CASES, 201, **form())["id"] == shown["id"]


def test_what_a_reviewer_notes_while_approving_is_not_for_the_person(app: App) -> None:
    reviewer = make_reviewer()
    case = in_review(reviewer, app.person)
    cases.approve(case_id=case.pk, reviewer=reviewer, reason="Other account was lost.")
    shown = app.get(f"{CASES}/{case.public_id}")
    assert (shown["state"], shown["reason"]) == ("approved", "")


def test_pages_follow_each_other_without_gap_or_repetition(app: App) -> None:
    reviewer = make_reviewer()
    made = [str(rejected(reviewer, app.person).public_id) for _ in range(5)]
    rejected(reviewer)
    seen: list[str] = []
    path = f"{CASES}?limit=2"
    for _ in range(3):
        page = app.get(path)
        seen += [case["id"] for case in page["items"]]
        path = f"{CASES}?limit=2&cursor={page['next']}"
    assert page["next"] is None
    assert seen == made[::-1]


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "cursor=x"])
def test_a_page_that_can_not_be_is_refused(app: App, query: str) -> None:
    assert app.get(f"{CASES}?{query}", 422)["code"] == "invalid_input"


def test_the_list_costs_the_same_for_one_case_and_for_many(app: App) -> None:
    reviewer = make_reviewer()
    rejected(reviewer, app.person)
    counts = []
    for more in (0, 9):
        for _ in range(more):
            rejected(reviewer, app.person)
        with CaptureQueriesContext(connection) as queries:
            app.get(CASES)
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_the_status_says_what_to_do_next(app: App) -> None:
    status = app.get(STATUS)
    assert (status["tier"], status["next"], status["case"], status["valid_until"]) == (
        0,
        "submit",
        None,
        None,
    )
    assert status["next_tier"] != ""
    reviewer = make_reviewer()
    case = submitted(app.person, document_type="nin", number="12345678901")
    assert (app.get(STATUS)["next"], app.get(STATUS)["case"]) == ("wait", str(case.public_id))
    cases.claim(case_id=case.pk, reviewer=reviewer)
    assert app.get(STATUS)["next"] == "wait"
    cases.ask_for_more(case_id=case.pk, reviewer=reviewer, **REFUSAL)
    assert app.get(STATUS)["next"] == "complete"
    cases.submit(
        person=app.person,
        document_type="nin",
        country="NG",
        number="12345678901",
        images={Side.FRONT: picture()},
    )
    cases.claim(case_id=case.pk, reviewer=reviewer)
    cases.approve(case_id=case.pk, reviewer=reviewer)
    status = app.get(STATUS)
    assert (status["tier"], status["next"], status["case"]) == (1, "nothing", None)
    assert status["valid_until"] is not None
    kinds = {(limit["currency"], limit["kind"]) for limit in status["limits"]}
    assert ("NGN", "daily") in kinds


def test_after_a_withdrawal_or_a_revocation_a_new_submission_is_next(app: App) -> None:
    case = submitted(app.person)
    app.post(f"{CASES}/{case.public_id}/withdraw", 200)
    assert app.get(STATUS)["next"] == "submit"
    stranger = App(make_person())
    revoked = approved(make_reviewer(), stranger.person)
    cases.revoke_by_provider(case_id=revoked.pk, provider="manual", reason="Stolen")
    status = stranger.get(STATUS)
    assert (status["next"], status["tier"], status["case"]) == ("submit", 0, None)


def test_the_document_lists_what_each_type_needs() -> None:
    document = Client().get("/api/v1/openapi.json").json()
    words = document["paths"][CASES]["post"]["description"]
    assert "| `passport` |" in words
    assert "front, selfie |" in words
