from collections.abc import Callable
from typing import Any

import pytest
from django.db import DatabaseError, transaction

from observability.alerts import episodes
from observability.alerts.delivery import drain
from observability.alerts.errors import CannotAcknowledge, CannotResend, ReasonMissing
from observability.models import Attempt, Delivery, Episode, EpisodeEvent, Receipt
from observability.tests.payloads import alert
from observability.tests.vendors import Reply, Vendor

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("channels")]
Post = Callable[..., Any]


@pytest.fixture
def ada(django_user_model: Any) -> Any:
    return django_user_model.objects.create_user("ada@example.com")


@pytest.fixture
def firing(post_alerts: Post) -> Episode:
    post_alerts(alert(1))
    return Episode.objects.get()


def test_acknowledging_says_who_and_when_in_row_and_timeline(firing: Episode, ada: Any) -> None:
    episode = episodes.acknowledge(episode_id=firing.pk, actor=ada, note="looking")
    assert episode.acknowledged_by_id == ada.pk
    event = EpisodeEvent.objects.get(kind="acknowledged")
    assert (event.actor_id, event.text, event.at >= firing.first_seen_at) == (ada.pk, "looking", True)


def test_second_acknowledgement_is_refused_and_changes_nothing(
    firing: Episode, ada: Any, django_user_model: Any
) -> None:
    episodes.acknowledge(episode_id=firing.pk, actor=ada)
    other = django_user_model.objects.create_user("bob@example.com")
    with pytest.raises(CannotAcknowledge, match=r"ada@example\.com has already acknowledged it"):
        episodes.acknowledge(episode_id=firing.pk, actor=other)
    firing.refresh_from_db()
    assert firing.acknowledged_by_id == ada.pk
    assert EpisodeEvent.objects.filter(kind="acknowledged").count() == 1
    assert Delivery.objects.filter(kind="acknowledge").count() == 1


def test_resolved_alert_needs_no_acknowledgement(firing: Episode, post_alerts: Post, ada: Any) -> None:
    post_alerts(alert(1, status="resolved"))
    with pytest.raises(CannotAcknowledge, match="it is resolved"):
        episodes.acknowledge(episode_id=firing.pk, actor=ada)
    assert not Delivery.objects.filter(kind="acknowledge").exists()


def test_note_is_a_row_of_the_timeline(firing: Episode, ada: Any) -> None:
    episodes.add_note(episode_id=firing.pk, actor=ada, text=" disk was full ")
    event = EpisodeEvent.objects.get(kind="note")
    assert (event.text, event.actor_id) == ("disk was full", ada.pk)


def test_empty_note_is_refused(firing: Episode, ada: Any) -> None:
    with pytest.raises(ReasonMissing):
        episodes.add_note(episode_id=firing.pk, actor=ada, text="  ")
    assert not EpisodeEvent.objects.filter(kind="note").exists()


def test_resend_is_a_new_linked_row_that_is_delivered(
    firing: Episode, ada: Any, slack: Vendor, pagerduty: Vendor
) -> None:
    slack.replies = [Reply(400, "invalid_blocks")]
    drain("slack")
    old = Delivery.objects.get(channel="slack")
    new = episodes.resend(delivery_id=old.pk, actor=ada, reason="blocks were mended")
    drain("slack")
    new.refresh_from_db()
    old.refresh_from_db()
    assert (old.state, new.state, new.resend_of_id, new.requested_by_id) == (
        "failed",
        "delivered",
        old.pk,
        ada.pk,
    )
    assert EpisodeEvent.objects.get(kind="resent").text == "alert to slack: blocks were mended"


def test_resend_without_a_reason_is_refused_and_plans_nothing(firing: Episode, ada: Any) -> None:
    drain("slack")
    old = Delivery.objects.get(channel="slack")
    with pytest.raises(ReasonMissing):
        episodes.resend(delivery_id=old.pk, actor=ada, reason="")
    assert not Delivery.objects.filter(resend_of=old).exists()


def test_delivery_on_its_way_is_not_sent_again(firing: Episode, ada: Any) -> None:
    old = Delivery.objects.get(channel="slack")
    with pytest.raises(CannotResend, match="it is not finished yet"):
        episodes.resend(delivery_id=old.pk, actor=ada, reason="hurry")
    assert not Delivery.objects.filter(resend_of=old).exists()


def test_failed_digest_is_sent_again_with_all_its_alerts(post_alerts: Post, ada: Any, slack: Vendor) -> None:
    slack.replies = [Reply(400, "invalid_blocks")]
    post_alerts(*[alert(number, severity="warning") for number in range(10)])
    drain("slack")
    digest = Delivery.objects.get(kind="digest")
    episodes.resend(delivery_id=digest.pk, actor=ada, reason="again")
    drain("slack")
    assert set(Delivery.objects.exclude(pk=digest.pk).values_list("state", flat=True)) == {"delivered"}
    assert len(slack.bodies()) == 2
    assert EpisodeEvent.objects.filter(kind="resent").count() == 10


@pytest.mark.parametrize(
    ("model", "change"),
    [
        (EpisodeEvent, {"text": "nothing happened"}),
        (Attempt, {"outcome": "delivered"}),
        (Episode, {"labels": {}}),
        (Episode, {"alertname": "Other"}),
        (Receipt, {"body": b""}),
    ],
)
def test_history_cannot_be_edited_even_past_the_application(
    firing: Episode, slack: Vendor, model: Any, change: dict[str, Any]
) -> None:
    slack.replies = [Reply(500)]
    drain("slack")
    before = list(model.objects.order_by("pk").values())
    with pytest.raises(DatabaseError), transaction.atomic():
        model.objects.update(**change)
    assert list(model.objects.order_by("pk").values()) == before
