"""Tests the responses to callbacks, and which of them are stored."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import Mock

import pytest
from django.db import OperationalError
from django.http import UnreadablePostError
from django.test import Client

from core.encryption import decrypt
from kyc import metrics
from kyc.models import ProviderEvent
from kyc.providers import events, webhook
from kyc.providers.tests.conftest import WEBHOOK, sent, state_of
from kyc.providers.tests.smile_stand_in import SmileStandIn, signed_at

pytestmark = pytest.mark.django_db
CallBack = Callable[[Any], Any]


def counted(result: str) -> float:
    return metrics.provider_events["smile_id", result]._value.get()  # type: ignore[no-any-return]


def signed_body(**content: Any) -> bytes:
    known = {"PartnerParams": {"job_id": "unknown-reference"}, **signed_at(datetime.now(UTC))}
    return json.dumps(known | content).encode()


def test_a_genuine_callback_is_stored_encrypted_and_wakes_the_worker(
    smile: SmileStandIn,
    call_back: CallBack,
    rings: list[str],
    django_capture_on_commit_callbacks: Any,
) -> None:
    check = sent()
    body = json.dumps(smile.callback(IDNumber="A12345678", FullName="Ada Obi")).encode()
    before = counted("stored")
    with django_capture_on_commit_callbacks(execute=True):
        response = call_back(body)
    assert (response.status_code, response.json()) == (200, {"stored": True})
    event = ProviderEvent.objects.get()
    assert (event.state, event.check_row_id, event.signature_ok) == ("pending", check.pk, True)
    assert decrypt(bytes(event.body)) == body
    assert b"Ada Obi" not in bytes(event.body)
    assert rings == ["rung"]
    assert counted("stored") == before + 1
    assert state_of(check) == ("sent", "", "submitted"), "only asking decides"


def test_a_replay_is_answered_and_stored_once(
    smile: SmileStandIn, call_back: CallBack, django_capture_on_commit_callbacks: Any
) -> None:
    sent()
    body = json.dumps(smile.callback()).encode()
    before = counted("duplicate")
    with django_capture_on_commit_callbacks(execute=True):
        answers = [call_back(body) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert [answer.json()["stored"] for answer in answers] == [True, False, False]
    assert ProviderEvent.objects.count() == 1
    assert counted("duplicate") == before + 2


def test_an_unknown_reference_is_stored_and_ignored(smile: SmileStandIn, call_back: CallBack) -> None:
    assert call_back(signed_body()).status_code == 200
    event = ProviderEvent.objects.get()
    assert (event.state, event.check_row_id, event.next_attempt_at) == ("ignored", None, None)
    assert event.reason == "None of our checks has this reference."


@pytest.mark.parametrize(
    "changes",
    [
        {"signature": "AAAA"},
        {"signature": None},
        {"timestamp": "2026-01-02T03:04:05.678Z"},
        {"signature": "\ud800"},
        {"timestamp": "\ud800"},
        signed_at(datetime.now(UTC), "another key"),
        signed_at(datetime.now(UTC) - timedelta(days=4)),
        signed_at(datetime.now(UTC) + timedelta(hours=1)),
    ],
)
def test_a_forged_or_old_callback_is_refused_and_kept_as_such(
    smile: SmileStandIn, call_back: CallBack, changes: dict[str, Any], rings: list[str]
) -> None:
    before = counted("bad_signature")
    response = call_back(signed_body(**changes))
    assert (response.status_code, response.json()["code"]) == (401, "bad_signature")
    event = ProviderEvent.objects.get()
    assert (event.state, event.signature_ok, event.next_attempt_at) == ("refused", False, None)
    assert counted("bad_signature") == before + 1
    assert rings == []


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"\xff\xfe", "The body is not a JSON object."),
        (b"[]", "The body is not a JSON object."),
        (b"[" * 100_000, "The body is not a JSON object."),
        (signed_body(PartnerParams=None), "The body has no PartnerParams.job_id."),
        (signed_body(PartnerParams={"job_id": 7}), "The body has no PartnerParams.job_id."),
        (signed_body(PartnerParams={"job_id": "x" * 65}), "The body has no PartnerParams.job_id."),
        (signed_body(PartnerParams={"job_id": "x\x00"}), "The body has no PartnerParams.job_id."),
        (signed_body(PartnerParams={"job_id": "\ud800"}), "The body has no PartnerParams.job_id."),
    ],
)
def test_what_is_no_callback_is_refused(
    smile: SmileStandIn, call_back: CallBack, body: bytes, message: str
) -> None:
    before = counted("malformed")
    response = call_back(body)
    assert (response.status_code, response.json()["message"]) == (400, message)
    assert counted("malformed") == before + 1
    assert ProviderEvent.objects.get().state == "refused"


def test_a_flood_of_forged_callbacks_is_counted_and_hardly_stored(
    smile: SmileStandIn, call_back: CallBack
) -> None:
    before = counted("bad_signature")
    for number in range(events.REFUSED_KEPT_AN_HOUR + 10):
        assert call_back(signed_body(signature="AAAA", n=number, padding="x" * 50_000)).status_code == 401
    assert ProviderEvent.objects.count() == events.REFUSED_KEPT_AN_HOUR
    assert counted("bad_signature") == before + events.REFUSED_KEPT_AN_HOUR + 10
    longest = max(len(decrypt(bytes(event.body))) for event in ProviderEvent.objects.all())
    assert longest == events.REFUSED_KEPT_BYTES


@pytest.mark.parametrize("method", ["get", "put", "delete", "patch"])
def test_only_post_is_taken(smile: SmileStandIn, client: Client, method: str) -> None:
    response = getattr(client, method)(WEBHOOK)
    assert (response.status_code, response["Allow"]) == (405, "POST")


@pytest.mark.parametrize("name", ["manual", "nobody"])
def test_only_providers_that_call_back_have_an_address(
    smile: SmileStandIn, client: Client, name: str
) -> None:
    response = client.post(f"/api/v1/kyc/webhooks/{name}", data=b"{}", content_type="application/json")
    assert response.status_code == 404


def test_a_provider_that_is_off_has_no_address(client: Client) -> None:
    assert client.post(WEBHOOK, data=b"{}", content_type="application/json").status_code == 404
    assert not ProviderEvent.objects.exists()


def test_a_body_that_is_too_long_is_not_read(
    smile: SmileStandIn, call_back: CallBack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook, "BODY_LIMIT_BYTES", 100)
    response = call_back(b"x" * 101)
    assert (response.status_code, response.json()["code"]) == (413, "too_large")
    assert not ProviderEvent.objects.exists()


def test_a_length_beyond_all_numbers_is_too_long(smile: SmileStandIn, client: Client) -> None:
    response = client.generic("POST", WEBHOOK, b"{}", CONTENT_LENGTH="9" * 5_000)
    assert (response.status_code, response.json()["code"]) == (413, "too_large")


def test_a_body_without_length_is_refused(smile: SmileStandIn, client: Client) -> None:
    response = client.generic("POST", WEBHOOK, b"", content_type="application/json", CONTENT_LENGTH="")
    assert (response.status_code, response.json()["code"]) == (411, "length_required")


@pytest.mark.parametrize("read", [b"{", UnreadablePostError("gone")])
def test_a_body_that_breaks_off_is_asked_for_again(
    smile: SmileStandIn, call_back: CallBack, monkeypatch: pytest.MonkeyPatch, read: Any
) -> None:
    monkeypatch.setattr("django.http.request.HttpRequest.read", Mock(side_effect=[read]))
    response = call_back(signed_body())
    assert (response.status_code, response.json()["message"]) == (
        503,
        "The body is incomplete. Send it again.",
    )
    assert not ProviderEvent.objects.exists()


def test_while_the_database_is_down_the_provider_gets_503(
    smile: SmileStandIn, call_back: CallBack, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**_: object) -> bool:
        raise OperationalError("gone")

    monkeypatch.setattr(events, "store", fail)
    response = call_back(signed_body())
    assert (response.status_code, response.json()["code"]) == (503, "unavailable")


def test_both_spellings_of_the_address_work_without_csrf_and_without_redirect(smile: SmileStandIn) -> None:
    client = Client(enforce_csrf_checks=True)
    for address in (WEBHOOK, f"{WEBHOOK}/"):
        response = client.post(address, data=signed_body(), content_type="application/json")
        assert response.status_code == 200


def test_errors_have_the_shape_of_the_api(smile: SmileStandIn, call_back: CallBack, client: Client) -> None:
    ours, theirs = call_back(b"{}"), client.get("/api/v1/me")
    assert theirs.status_code == 401
    assert ours["Content-Type"] == theirs["Content-Type"] == "application/problem+json"
    assert ours.json().keys() == theirs.json().keys()
    assert ours.json()["request_id"] == ours["X-Request-ID"]
