from collections.abc import Callable
from typing import Any

import pytest
from django.db import DatabaseError, transaction
from django.utils import timezone

from core.request_id import request_id
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


@pytest.mark.parametrize(("severity", "notified"), [("critical", ["pagerduty"]), ("warning", [])])
def test_acknowledgement_goes_to_the_channels_that_keep_incidents(
    post_alerts: Post, ada: Any, rings: list[str], severity: str, notified: list[str]
) -> None:
    post_alerts(alert(1, severity=severity))
    rings.clear()
    began = timezone.now()
    request_id.set("a-request-1234")
    episode = episodes.acknowledge(episode_id=Episode.objects.get().pk, actor=ada)
    planned = Delivery.objects.filter(kind="acknowledge").values_list("channel", flat=True)
    assert (list(planned), rings) == (notified, notified)
    assert episode.acknowledged_at is not None
    assert began <= episode.acknowledged_at <= timezone.now()
    stored = Episode.objects.get()
    assert (stored.acknowledged_at, stored.acknowledged_by) == (episode.acknowledged_at, ada)
    event = EpisodeEvent.objects.get(kind="acknowledged")
    assert (event.episode, event.text, event.request_id) == (episode, "", "a-request-1234")


def test_acknowledgement_touches_no_other_alert(firing: Episode, post_alerts: Post, ada: Any) -> None:
    post_alerts(alert(2))
    episodes.acknowledge(episode_id=firing.pk, actor=ada)
    other = Episode.objects.exclude(pk=firing.pk).get()
    assert (other.acknowledged_at, other.events.count()) == (None, 1)


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
    with pytest.raises(CannotAcknowledge, match=r"[:,] it is resolved\."):
        episodes.acknowledge(episode_id=firing.pk, actor=ada)
    assert not Delivery.objects.filter(kind="acknowledge").exists()


def test_newest_episode_of_one_alert_makes_room_for_the_next(firing: Episode, post_alerts: Post) -> None:
    post_alerts(alert(1, status="resolved"), alert(2))
    episodes.retire_latest(firing.fingerprint)
    rows = Episode.objects.order_by("fingerprint").values_list("fingerprint", "is_latest")
    assert list(rows) == [(firing.fingerprint, False), (f"{2:016x}", True)]
    episodes.retire_latest(firing.fingerprint)
    assert list(rows.all()) == [(firing.fingerprint, False), (f"{2:016x}", True)]


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


def test_resend_is_planned_like_the_first_and_says_why(
    firing: Episode, post_alerts: Post, ada: Any, slack: Vendor, rings: list[str]
) -> None:
    drain("slack")
    post_alerts(alert(1, status="resolved"))
    drain("slack")
    Delivery.objects.update(round=2)
    page = Delivery.objects.get(channel="slack", kind="trigger")
    assert episodes.resend(delivery_id=page.pk, actor=ada, reason="again").priority == page.priority == 0
    EpisodeEvent.objects.filter(kind="resent").delete()
    old = Delivery.objects.get(channel="slack", kind="resolve")
    rings.clear()
    new = episodes.resend(delivery_id=old.pk, actor=ada, reason="  nobody saw it ")
    new.refresh_from_db()
    fields = ("episode_id", "channel", "kind", "digest_of", "severity", "round", "priority")
    assert [getattr(new, name) for name in fields] == [getattr(old, name) for name in fields]
    assert (new.state, new.attempt_count, new.resend_of) == ("pending", 0, old)
    assert rings == ["slack"]
    event = EpisodeEvent.objects.get(kind="resent")
    assert (event.text, event.actor, event.episode) == ("resolved to slack: nobody saw it", ada, firing)


def test_resent_digest_has_its_alerts_back_and_each_says_so(
    post_alerts: Post, ada: Any, slack: Vendor, rings: list[str]
) -> None:
    slack.replies = [Reply(400, "invalid_blocks")]
    post_alerts(*[alert(number, severity="warning") for number in range(10)])
    drain("slack")
    rings.clear()
    digest = Delivery.objects.get(kind="digest")
    new = episodes.resend(delivery_id=digest.pk, actor=ada, reason="again")
    assert (new.kind, new.digest_of, new.severity) == ("digest", "trigger", "warning")
    assert (new.episode, new.priority) == (None, 5)
    members = Delivery.objects.exclude(kind="digest")
    assert set(members.values_list("state", "digest", "finished_at")) == {("digested", new.pk, None)}
    said = EpisodeEvent.objects.filter(kind="resent").values_list("text", "actor")
    assert set(said) == {(f"{digest.get_kind_display()} to slack: again", ada.pk)}
    assert (len(said), rings) == (10, ["slack"])


def test_resend_without_a_reason_is_refused_and_plans_nothing(firing: Episode, ada: Any) -> None:
    drain("slack")
    old = Delivery.objects.get(channel="slack")
    with pytest.raises(ReasonMissing):
        episodes.resend(delivery_id=old.pk, actor=ada, reason="")
    assert not Delivery.objects.filter(resend_of=old).exists()


def test_delivery_on_its_way_is_not_sent_again(firing: Episode, ada: Any) -> None:
    old = Delivery.objects.get(channel="slack")
    with pytest.raises(CannotResend, match=r"[:,] it is not finished yet\."):
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
