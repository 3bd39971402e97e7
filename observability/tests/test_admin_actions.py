"""Actions of operators: audited, with a reason, and only with the permission."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.messages import get_messages
from django.test import Client
from django.urls import reverse

from observability.models import Delivery, Episode, EpisodeEvent, Receipt
from observability.tests import history
from observability.tests.payloads import alert, body

pytestmark = pytest.mark.django_db


def act(client: Client, model: str, action: str, pk: int, **fields: str) -> Any:
    return client.post(reverse(f"admin:observability_{model}_{action}", args=[pk]), fields)


def said(response: Any) -> list[str]:
    return [str(message) for message in get_messages(response.wsgi_request)]


@pytest.fixture
def responder(sign_in: Callable[..., Client]) -> Client:
    return sign_in("responder")


def test_responder_acknowledges(responder: Client) -> None:
    episode = history.episode()
    response = act(responder, "episode", "acknowledge", episode.pk, reason="restarting web-1")
    assert (response.status_code, response.url) == (303, f"/admin/observability/episode/{episode.pk}/change/")
    episode.refresh_from_db()
    assert str(episode.acknowledged_by) == "responder@example.com"
    event = EpisodeEvent.objects.get()
    assert (event.kind, event.text, str(event.actor)) == (
        "acknowledged",
        "restarting web-1",
        "responder@example.com",
    )
    page = responder.get(response.url).content.decode()
    assert "restarting web-1" in page
    assert event.request_id in page


def test_second_acknowledgement_says_who_has_it(responder: Client) -> None:
    episode = history.episode()
    act(responder, "episode", "acknowledge", episode.pk)
    response = act(responder, "episode", "acknowledge", episode.pk)
    assert said(response)[-1] == (
        "HighErrorRate cannot be acknowledged: responder@example.com has already acknowledged it."
    )
    assert EpisodeEvent.objects.count() == 1


def test_note_needs_a_text(responder: Client) -> None:
    episode = history.episode()
    response = act(responder, "episode", "note", episode.pk, reason="  ")
    assert said(response) == ["Write a text for the note."]
    act(responder, "episode", "note", episode.pk, reason="disk was full")
    assert EpisodeEvent.objects.get().text == "disk was full"


def test_resend_makes_a_new_linked_delivery(responder: Client) -> None:
    old = history.delivery(history.episode(), "pagerduty", "failed")
    response = act(responder, "delivery", "resend", old.pk, reason="the key is right now")
    assert response.url == f"/admin/observability/episode/{old.episode_id}/change/#deliveries"
    new = Delivery.objects.get(resend_of=old)
    assert (new.state, new.channel, str(new.requested_by)) == (
        "pending",
        "pagerduty",
        "responder@example.com",
    )
    assert EpisodeEvent.objects.get().text == "alert to pagerduty: the key is right now"


def test_resend_without_a_reason_sends_nothing(responder: Client) -> None:
    old = history.delivery(history.episode(), "pagerduty", "failed")
    response = act(responder, "delivery", "resend", old.pk)
    assert said(response) == ["Give a reason for sending it again."]
    assert Delivery.objects.count() == 1


def test_delivery_on_its_way_is_not_sent_again(responder: Client) -> None:
    old = history.delivery(history.episode(), state="pending")
    response = act(responder, "delivery", "resend", old.pk, reason="impatience")
    assert said(response) == [f"Delivery {old.pk} cannot be sent again: it is not finished yet."]
    assert Delivery.objects.count() == 1


def test_digest_is_resent_from_its_own_page(responder: Client) -> None:
    digest = Delivery.objects.create(
        channel="slack", kind="digest", digest_of="trigger", severity="critical", priority=1, state="dead"
    )
    response = act(responder, "delivery", "resend", digest.pk, reason="Slack is back")
    new = Delivery.objects.get(resend_of=digest)
    assert response.url == f"/admin/observability/delivery/{new.pk}/change/"


def test_failed_receipt_is_processed_again(responder: Client) -> None:
    receipt = history.receipt("failed", body(alert(1)), reason="a bug of ours, fixed since")
    response = act(responder, "receipt", "reprocess", receipt.pk)
    assert said(response)[0].startswith("Processed again.")
    assert Episode.objects.get().fingerprint == f"{1:016x}"
    assert EpisodeEvent.objects.get().receipt_id == receipt.pk
    assert Receipt.objects.count() == 1
    receipt.refresh_from_db()
    assert str(receipt.reprocessed_by) == "responder@example.com"
    assert b"Processed again" in responder.get(response.url).content


def test_set_aside_alerts_are_taken_in_and_the_others_not_doubled(responder: Client) -> None:
    receipt = history.receipt("partial", body(alert(1), alert(2)))
    act(responder, "receipt", "reprocess", receipt.pk)
    act(responder, "receipt", "reprocess", receipt.pk)
    assert Episode.objects.count() == 2
    assert EpisodeEvent.objects.count() == 2


def test_body_that_is_still_no_payload_is_refused(responder: Client) -> None:
    receipt = history.receipt("failed", b'{"version": "3"}')
    response = act(responder, "receipt", "reprocess", receipt.pk)
    why = '"version" is \'3\', expected "4" (Alertmanager webhook).'
    assert said(response) == [f"Receipt {receipt.pk} still cannot be read: {why}"]
    receipt.refresh_from_db()
    assert receipt.reprocessed_at is None


def test_alerts_that_would_be_set_aside_again_are_refused(responder: Client) -> None:
    receipt = history.receipt("partial", body({"status": "firing"}))
    response = act(responder, "receipt", "reprocess", receipt.pk)
    assert said(response)[0].startswith(f"Receipt {receipt.pk}: every alert in it would be set aside again: ")
    receipt.refresh_from_db()
    assert receipt.reprocessed_at is None


def test_stored_receipt_has_nothing_left_to_process(responder: Client) -> None:
    receipt = history.receipt("stored")
    response = act(responder, "receipt", "reprocess", receipt.pk)
    assert said(response) == [f"Receipt {receipt.pk} was stored in full; there is nothing left to process."]
    assert not Episode.objects.exists()


def test_action_on_an_unknown_row_is_not_found(responder: Client) -> None:
    for model, action in (("episode", "acknowledge"), ("delivery", "resend"), ("receipt", "reprocess")):
        assert act(responder, model, action, 99, reason="x").status_code == 404


@pytest.mark.parametrize("role", ["viewer", "staff"])
def test_role_without_the_permission_is_refused_and_nothing_changes(
    role: str, sign_in: Callable[..., Client]
) -> None:
    client = sign_in(role)
    episode = history.episode()
    old = history.delivery(episode, state="failed")
    receipt = history.receipt("failed", body(alert(7)))
    for model, action, pk in (
        ("episode", "acknowledge", episode.pk),
        ("episode", "note", episode.pk),
        ("delivery", "resend", old.pk),
        ("receipt", "reprocess", receipt.pk),
    ):
        assert act(client, model, action, pk, reason="x").status_code == 403
    assert (Episode.objects.count(), Delivery.objects.count(), EpisodeEvent.objects.count()) == (1, 1, 0)
    episode.refresh_from_db()
    assert episode.acknowledged_at is None


def test_viewer_is_offered_no_action(sign_in: Callable[..., Client]) -> None:
    episode = history.episode()
    old = history.delivery(episode, state="failed")
    receipt = history.receipt("failed", b"{")
    viewer, responder = sign_in("viewer"), sign_in("responder")
    for model, pk, word in (
        ("episode", episode.pk, "What are you doing about it?"),
        ("delivery", old.pk, "Send again"),
        ("receipt", receipt.pk, "Reprocess now"),
    ):
        url = reverse(f"admin:observability_{model}_change", args=[pk])
        assert word in responder.get(url).content.decode()
        assert word not in viewer.get(url).content.decode()


def test_visitor_acts_on_nothing(client: Client) -> None:
    episode = history.episode()
    response = act(client, "episode", "acknowledge", episode.pk)
    assert (response.status_code, response.url.split("?")[0]) == (302, "/admin/login/")
    episode.refresh_from_db()
    assert episode.acknowledged_at is None


def test_action_from_another_site_is_refused(sign_in: Callable[..., Client]) -> None:
    client = sign_in("responder", enforce_csrf_checks=True)
    episode = history.episode()
    assert act(client, "episode", "acknowledge", episode.pk).status_code == 403
    episode.refresh_from_db()
    assert episode.acknowledged_at is None
