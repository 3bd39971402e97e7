"""Tests the admin pages of callbacks: access and content."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from kyc.models import ProviderEvent
from kyc.providers import events
from kyc.providers.base import Callback
from kyc.providers.tests.conftest import NAME, sent
from kyc.providers.tests.smile_stand_in import SmileStandIn
from kyc.tests.people import make_operator

pytestmark = pytest.mark.django_db
LIST = "admin:kyc_providerevent_changelist"
CallBack = Callable[[Any], Any]


def signed_in(role: str) -> Client:
    client = Client()
    client.force_login(make_operator(role))
    return client


def received(call_back: CallBack, smile: SmileStandIn) -> ProviderEvent:
    check = sent()
    call_back(smile.callback(check.reference, FullName=NAME, IDNumber="A12345678", Photo="face"))
    return ProviderEvent.objects.latest("pk")


@pytest.mark.parametrize(
    ("role", "status"),
    [("approver", 200), ("kyc reviewer", 403), ("finance", 403), ("viewer", 403), ("responder", 403)],
)
def test_who_sees_callbacks(smile: SmileStandIn, call_back: CallBack, role: str, status: int) -> None:
    event = received(call_back, smile)
    client = signed_in(role)
    assert client.get(reverse(LIST)).status_code == status
    assert client.get(reverse("admin:kyc_providerevent_change", args=[event.pk])).status_code == status


def test_no_page_shows_what_a_callback_says_of_the_person(smile: SmileStandIn, call_back: CallBack) -> None:
    event = received(call_back, smile)
    client = signed_in("approver")
    for address in (reverse(LIST), reverse("admin:kyc_providerevent_change", args=[event.pk])):
        page = client.get(address).content.decode()
        assert f"case {event.check_row.case_id}" in page  # type: ignore[union-attr]
        for secret in (NAME, "A12345678", "face"):
            assert secret not in page


def test_an_approver_has_a_callback_processed_again(smile: SmileStandIn, call_back: CallBack) -> None:
    event = received(call_back, smile)
    ProviderEvent.objects.update(state="failed", next_attempt_at=None)
    address = reverse("admin:kyc_providerevent_again", args=[event.pk])
    approver = signed_in("approver")
    assert approver.post(address, {"reason": ""}).status_code == 303
    event.refresh_from_db()
    assert event.state == "failed"
    response = approver.post(address, {"reason": "It is back."}, follow=True)
    assert "The provider will be asked again." in response.content.decode()
    event.refresh_from_db()
    assert (event.state, event.asked_again_because) == ("pending", "It is back.")


def test_other_roles_cannot_process_a_callback_again(smile: SmileStandIn, call_back: CallBack) -> None:
    event = received(call_back, smile)
    ProviderEvent.objects.update(state="failed")
    address = reverse("admin:kyc_providerevent_again", args=[event.pk])
    assert signed_in("kyc reviewer").post(address, {"reason": "x"}).status_code == 403
    assert signed_in("approver").get(address).status_code == 405
    event.refresh_from_db()
    assert event.state == "failed"


def test_the_list_asks_the_same_for_one_and_for_fifty(smile: SmileStandIn, call_back: CallBack) -> None:
    event = received(call_back, smile)
    client = signed_in("approver")
    client.get(reverse(LIST))
    with CaptureQueriesContext(
        connection,
    ) as one:
        client.get(reverse(LIST))
    reference = event.check_row.reference  # type: ignore[union-attr]
    for number in range(49):
        events.store(provider="smile_id", callback=Callback(f"event-{number}", reference), body=b"{}")
    with CaptureQueriesContext(connection) as fifty:
        client.get(reverse(LIST))
    assert len(fifty) == len(one)
