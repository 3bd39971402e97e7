"""What silences hide stays in the history: alerts that fire while silenced, and those that never arrived."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from observability.alerts.delivery import drain
from observability.alerts.intake.payload import WATCHDOG_ALERTNAME
from observability.alerts.pruning import prune_history
from observability.models import Delivery, Episode, Silence, Suppression
from observability.silences import watch
from observability.tests.fake_alertmanager import FakeAlertmanager
from observability.tests.payloads import alert
from observability.tests.vendors import Vendor

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("channels")]
Post = Callable[..., Any]


@pytest.fixture
def silence(alertmanager: FakeAlertmanager) -> str:
    return alertmanager.add(createdBy="Ada", comment="New disks")


def look() -> None:
    watch.look(timezone.now())


def hidden(alertmanager: FakeAlertmanager, silence: str, number: int = 1) -> dict[str, Any]:
    """Alertmanager holds the alert `alert(number)`, silenced."""
    posted = alert(number)
    held = alertmanager.alert(posted["labels"], silence, fingerprint=posted["fingerprint"])
    held["startsAt"] = posted["startsAt"]
    return held


def let_go(held: dict[str, Any]) -> None:
    held["status"] = {"state": "active", "silencedBy": [], "inhibitedBy": []}


def kinds(episode: Episode) -> list[str]:
    return list(episode.events.values_list("kind", flat=True))


def pages(pagerduty: Vendor) -> list[str]:
    drain("pagerduty")
    return [event["event_action"] for event in pagerduty.bodies()]


def test_an_alert_that_never_arrived_is_in_the_history_and_nobody_is_notified(
    alertmanager: FakeAlertmanager, silence: str, pagerduty: Vendor
) -> None:
    held = hidden(alertmanager, silence)
    look()
    look()
    episode = Episode.objects.get()
    assert (episode.status, episode.not_notified) == ("silenced", "silenced")
    assert episode.labels == held["labels"]
    assert episode.starts_at == datetime.fromisoformat(held["startsAt"])
    assert kinds(episode) == ["silenced"]
    suppression = Suppression.objects.get()
    assert (suppression.silence.alertmanager_id, suppression.ended_at) == (silence, None)
    assert (pages(pagerduty), Delivery.objects.count()) == ([], 0)


def test_it_fires_and_pages_once_when_the_silence_is_over(
    alertmanager: FakeAlertmanager, silence: str, pagerduty: Vendor, post_alerts: Post
) -> None:
    held = hidden(alertmanager, silence)
    look()
    let_go(held)
    look()
    assert kinds(Episode.objects.get()) == ["silenced", "unsilenced"]
    assert post_alerts(alert(1)).status_code == 200
    post_alerts(alert(1))
    episode = Episode.objects.get()
    assert (episode.status, episode.not_notified) == ("firing", "")
    assert episode.unsilenced_at is not None
    assert kinds(episode) == ["silenced", "unsilenced", "fired"]
    assert pages(pagerduty) == ["trigger"]
    post_alerts(alert(1, status="resolved"))
    assert pages(pagerduty) == ["trigger", "resolve"]


def test_it_pages_also_when_the_webhook_comes_before_the_watch(
    alertmanager: FakeAlertmanager, silence: str, pagerduty: Vendor, post_alerts: Post
) -> None:
    held = hidden(alertmanager, silence)
    look()
    post_alerts(alert(1))
    let_go(held)
    look()
    episode = Episode.objects.get()
    assert (episode.status, kinds(episode)) == ("firing", ["silenced", "fired"])
    assert Suppression.objects.get().ended_at is not None
    assert pages(pagerduty) == ["trigger"]


def test_it_is_resolved_quietly_when_it_ends_while_silenced(
    alertmanager: FakeAlertmanager, silence: str, pagerduty: Vendor
) -> None:
    hidden(alertmanager, silence)
    look()
    alertmanager.alerts.clear()
    look()
    episode = Episode.objects.get()
    assert (episode.status, kinds(episode)) == ("resolved", ["silenced", "resolved"])
    assert Suppression.objects.get().ended_at is not None
    assert (pages(pagerduty), Delivery.objects.count()) == ([], 0)


def test_a_restarted_alertmanager_that_knows_no_alert_yet_ends_nothing(
    alertmanager: FakeAlertmanager, silence: str
) -> None:
    hidden(alertmanager, silence)
    look()
    alertmanager.alerts.clear()
    alertmanager.started_at = timezone.now().isoformat()
    look()
    assert Episode.objects.get().status == "silenced"


def test_a_firing_alert_that_is_silenced_is_marked_and_keeps_firing(
    alertmanager: FakeAlertmanager, silence: str, post_alerts: Post, sign_in: Callable[..., Client]
) -> None:
    post_alerts(alert(1))
    held = hidden(alertmanager, silence)
    look()
    look()
    episode = Episode.objects.get()
    assert (episode.status, kinds(episode)) == ("firing", ["fired", "silenced"])
    page = sign_in("viewer").get(f"/admin/observability/episode/{episode.pk}/change/").content.decode()
    assert "Silenced by" in page
    assert "of Ada: New disks" in page
    let_go(held)
    look()
    episode.refresh_from_db()
    assert (episode.status, kinds(episode)) == ("firing", ["fired", "silenced", "unsilenced"])
    assert episode.unsilenced_at is not None


def test_a_firing_alert_that_ends_while_silenced_is_resolved(
    alertmanager: FakeAlertmanager, silence: str, post_alerts: Post, pagerduty: Vendor
) -> None:
    post_alerts(alert(1))
    assert pages(pagerduty) == ["trigger"]
    hidden(alertmanager, silence)
    look()
    alertmanager.alerts.clear()
    look()
    episode = Episode.objects.get()
    assert (episode.status, kinds(episode)) == ("resolved", ["fired", "silenced", "unsilenced", "resolved"])
    assert pages(pagerduty) == ["trigger", "resolve"]


def test_an_alert_that_fires_again_while_silenced_gets_another_episode(
    alertmanager: FakeAlertmanager, silence: str, post_alerts: Post, pagerduty: Vendor
) -> None:
    post_alerts(alert(1))
    post_alerts(alert(1, status="resolved"))
    first = Episode.objects.get()
    hidden(alertmanager, silence)  # with the start of before
    look()
    second = Episode.objects.get(is_latest=True)
    assert (first.pk != second.pk, second.status) == (True, "silenced")
    assert second.starts_at > first.starts_at
    post_alerts(alert(1))
    second.refresh_from_db()
    assert second.status == "firing"


def test_another_silence_takes_over(alertmanager: FakeAlertmanager, silence: str) -> None:
    held = hidden(alertmanager, silence)
    look()
    other = alertmanager.add(createdBy="Obi")
    held["status"]["silencedBy"] = [other]
    look()
    hides = Suppression.objects.filter(ended_at=None).values_list("silence__alertmanager_id", flat=True)
    assert list(hides) == [other]
    assert kinds(Episode.objects.get()) == ["silenced", "silenced"]


def test_the_watchdog_and_inhibited_alerts_are_left_alone(
    alertmanager: FakeAlertmanager, silence: str
) -> None:
    alertmanager.alert({"alertname": WATCHDOG_ALERTNAME}, silence, fingerprint="aa")
    inhibited = alertmanager.alert({"alertname": "Inhibited"}, fingerprint="bb")
    inhibited["status"] = {"state": "suppressed", "silencedBy": [], "inhibitedBy": ["cc"]}
    look()
    assert not Episode.objects.exists()


def test_the_list_and_the_silence_show_what_was_hidden(
    alertmanager: FakeAlertmanager, silence: str, sign_in: Callable[..., Client]
) -> None:
    hidden(alertmanager, silence)
    look()
    client = sign_in("viewer")
    page = client.get("/admin/observability/episode/?silenced=now").content.decode()
    assert "Not notified: silenced in Alertmanager" in page
    row = Silence.objects.get()
    shown = client.get(f"/admin/observability/silence/{row.pk}/change/")
    assert shown.context["hidden_now"] == 1
    assert [each.episode for each in shown.context["hidden"]] == [Episode.objects.get()]


def test_a_silenced_alert_is_kept_when_old_history_is_deleted(
    alertmanager: FakeAlertmanager, silence: str
) -> None:
    hidden(alertmanager, silence)
    look()
    prune_history(before=timezone.now() + timedelta(days=1))
    assert Episode.objects.count() == 1
    alertmanager.alerts.clear()
    look()
    alertmanager.silences[silence]["endsAt"] = timezone.now().isoformat()
    look()
    done = prune_history(before=timezone.now() + timedelta(days=1))
    assert (done.episodes, done.silences) == (1, 1)
    assert not Suppression.objects.exists()
