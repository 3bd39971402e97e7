"""An end that nothing confirms, and an alert that no sender mentions any more."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from observability.alerts import confirming, pipeline
from observability.alerts.delivery import drain
from observability.models import Delivery, Episode, Heartbeat
from observability.tests.monitoring_stand_in import NEVER, MonitoringStandIn
from observability.tests.payloads import alert
from observability.tests.vendors import Vendor

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("channels")]
Post = Callable[..., Any]

LABELS = alert(1)["labels"]
SILENT = timedelta(minutes=4)


def has_answered_since(span: timedelta) -> None:
    Heartbeat.objects.filter(pk=Heartbeat.PROMETHEUS).update(watching_since=timezone.now() - span)


@pytest.fixture(autouse=True)
def watchdog_barks() -> None:
    Heartbeat.beat(Heartbeat.WATCHDOG)


@pytest.fixture
def prometheus(monitoring: MonitoringStandIn) -> MonitoringStandIn:
    """Answers, and has answered for an hour."""
    confirming.check_prometheus(timezone.now())
    has_answered_since(timedelta(hours=1))
    return monitoring


@pytest.fixture
def silent_prometheus(prometheus: MonitoringStandIn) -> MonitoringStandIn:
    prometheus.prometheus_answers = False
    Heartbeat.beat(Heartbeat.PROMETHEUS, timezone.now() - SILENT)
    return prometheus


@pytest.fixture
def fired(post_alerts: Post) -> Episode:
    post_alerts(alert(1))
    drain("slack")
    drain("pagerduty")
    return Episode.objects.get()


def come_back(prometheus: MonitoringStandIn, settled: bool = True) -> None:
    """Prometheus answers again, and its rule has been evaluated without the alert."""
    prometheus.prometheus_answers = True
    prometheus.rules = {"HighErrorRate": (timezone.now() + timedelta(seconds=1), [])}
    confirming.check_prometheus(timezone.now())
    if settled:
        has_answered_since(timedelta(minutes=5))


def resolve(post_alerts: Post) -> Any:
    return post_alerts(alert(1, status="resolved")).json()


def settle() -> None:
    confirming.settle_unconfirmed_ends(timezone.now())
    drain("slack")
    drain("pagerduty")


def actions(pagerduty: Vendor) -> list[str]:
    drain("pagerduty")
    return [event["event_action"] for event in pagerduty.bodies()]


def headers(slack: Vendor) -> list[str]:
    drain("slack")
    return [message["blocks"][0]["text"]["text"] for message in slack.bodies()]


def test_resolve_while_prometheus_answers_is_a_resolve(
    prometheus: MonitoringStandIn, fired: Episode, post_alerts: Post, pagerduty: Vendor
) -> None:
    resolve(post_alerts)
    fired.refresh_from_db()
    assert (fired.status, fired.unconfirmed_at) == ("resolved", None)
    assert actions(pagerduty) == ["trigger", "resolve"]


@pytest.mark.usefixtures("silent_prometheus")
def test_resolve_while_prometheus_is_silent_leaves_the_episode_and_the_incident_open(
    fired: Episode, post_alerts: Post, pagerduty: Vendor, slack: Vendor
) -> None:
    resolve(post_alerts)
    fired.refresh_from_db()
    assert fired.status == "firing"
    assert fired.unconfirmed_at is not None
    assert actions(pagerduty) == ["trigger"]
    assert headers(slack) == [
        "🔴 CRITICAL: HighErrorRate",
        "❔ END NOT CONFIRMED (critical): HighErrorRate",
    ]
    said = slack.bodies()[1]["blocks"][2]["text"]["text"]
    assert said.startswith("Alertmanager no longer mentions it; Prometheus does not answer.")
    assert [event.kind for event in fired.events.all()] == ["fired", "unconfirmed"]


def test_resolve_while_the_watchdog_is_overdue_is_unconfirmed(
    prometheus: MonitoringStandIn, fired: Episode, post_alerts: Post, settings: Any
) -> None:
    overdue = timezone.now() - timedelta(seconds=settings.WATCHDOG_TIMEOUT_SECONDS + 1)
    Heartbeat.beat(Heartbeat.WATCHDOG, overdue)
    resolve(post_alerts)
    fired.refresh_from_db()
    assert (fired.status, fired.unconfirmed_at is None) == ("firing", False)


def test_resolve_after_the_watchdog_was_reported_as_ended_is_unconfirmed(
    prometheus: MonitoringStandIn, fired: Episode, post_alerts: Post
) -> None:
    """Alertmanager ends the Watchdog and the others at about the same time."""
    labels = {"alertname": "Watchdog", "severity": "none"}
    post_alerts(alert(9, labels=labels, status="resolved"))
    resolve(post_alerts)
    fired.refresh_from_db()
    assert (fired.status, fired.unconfirmed_at is None) == ("firing", False)


@pytest.mark.usefixtures("silent_prometheus")
def test_unconfirmed_resolve_that_is_repeated_changes_nothing(fired: Episode, post_alerts: Post) -> None:
    resolve(post_alerts)
    before = (Episode.objects.values().get(), Delivery.objects.count(), fired.events.count())
    for _ in range(5):
        assert resolve(post_alerts)["stored"] == 0
        assert post_alerts(alert(1)).json()["stored"] == 0
    assert (Episode.objects.values().get(), Delivery.objects.count(), fired.events.count()) == before


def test_end_is_told_when_prometheus_confirms_it(
    silent_prometheus: MonitoringStandIn,
    fired: Episode,
    post_alerts: Post,
    pagerduty: Vendor,
    slack: Vendor,
) -> None:
    resolve(post_alerts)
    drain("slack")
    come_back(silent_prometheus)
    settle()
    fired.refresh_from_db()
    assert (fired.status, fired.unconfirmed_at) == ("resolved", None)
    assert fired.ends_at is not None
    assert fired.ends_at.isoformat() == "2026-11-23T03:10:00+00:00"
    assert actions(pagerduty) == ["trigger", "resolve"]
    assert headers(slack)[2] == "✅ RESOLVED (critical): HighErrorRate"
    last = fired.events.last()
    assert last is not None
    assert (last.kind, last.text) == ("resolved", "Confirmed by Prometheus.")


@pytest.mark.parametrize("labels", [LABELS, {"alertname": "HighErrorRate", "instance": "web-1"}])
def test_alert_that_fires_on_in_prometheus_stays_firing_and_nobody_is_paged_again(
    silent_prometheus: MonitoringStandIn,
    fired: Episode,
    post_alerts: Post,
    pagerduty: Vendor,
    labels: dict[str, str],
) -> None:
    """Prometheus's own labels are fewer: external labels are added on the way to Alertmanager."""
    resolve(post_alerts)
    come_back(silent_prometheus)
    silent_prometheus.rules["HighErrorRate"][1].append(labels)
    settle()
    fired.refresh_from_db()
    assert (fired.status, fired.unconfirmed_at, fired.ends_at) == ("firing", None, None)
    assert actions(pagerduty) == ["trigger"]
    assert [event.kind for event in fired.events.all()] == ["fired", "unconfirmed", "continues"]
    resolve(post_alerts)
    assert actions(pagerduty) == ["trigger", "resolve"]


def test_alert_of_other_labels_does_not_keep_it_open(
    silent_prometheus: MonitoringStandIn, fired: Episode, post_alerts: Post
) -> None:
    resolve(post_alerts)
    come_back(silent_prometheus)
    silent_prometheus.rules["HighErrorRate"][1].append(LABELS | {"instance": "web-2"})
    settle()
    fired.refresh_from_db()
    assert fired.status == "resolved"


@pytest.mark.parametrize("evaluated", [NEVER, datetime.fromisoformat("2026-11-23T03:00:00+00:00")])
def test_rule_that_was_not_evaluated_since_confirms_nothing(
    silent_prometheus: MonitoringStandIn, fired: Episode, post_alerts: Post, evaluated: datetime
) -> None:
    resolve(post_alerts)
    come_back(silent_prometheus)
    silent_prometheus.rules = {"HighErrorRate": (evaluated, [])}
    settle()
    fired.refresh_from_db()
    assert fired.status == "firing"


def test_prometheus_that_has_just_come_back_is_not_believed_yet(
    silent_prometheus: MonitoringStandIn, fired: Episode, post_alerts: Post
) -> None:
    """It has not scraped its targets: an absent series ends an alert as an end does."""
    resolve(post_alerts)
    come_back(silent_prometheus, settled=False)
    settle()
    fired.refresh_from_db()
    assert fired.status == "firing"


def test_without_a_rule_of_its_name_the_end_is_accepted_unchecked(
    silent_prometheus: MonitoringStandIn, fired: Episode, post_alerts: Post
) -> None:
    resolve(post_alerts)
    come_back(silent_prometheus)
    silent_prometheus.rules = {}
    settle()
    last = fired.events.last()
    assert last is not None
    assert last.text == "Accepted without confirmation: Prometheus has no rule of this name."


def test_while_prometheus_stays_away_nothing_is_ended(
    silent_prometheus: MonitoringStandIn, fired: Episode, post_alerts: Post
) -> None:
    resolve(post_alerts)
    for _ in range(3):
        pipeline.watch()
    fired.refresh_from_db()
    assert fired.status == "firing"


@pytest.mark.parametrize("url", ["", "unchanged"])
def test_without_a_prometheus_that_ever_answered_resolves_are_accepted_unchecked(
    monitoring: MonitoringStandIn,
    fired: Episode,
    post_alerts: Post,
    settings: Any,
    sign_in: Callable[..., Client],
    url: str,
) -> None:
    if not url:
        settings.PROMETHEUS_URL = ""
        Heartbeat.beat(Heartbeat.PROMETHEUS, timezone.now() - timedelta(days=1))
    page = f"/admin/observability/episode/{fired.pk}/change/"
    assert "A resolve from Alertmanager is accepted unchecked" in sign_in("viewer").get(page).content.decode()
    resolve(post_alerts)
    fired.refresh_from_db()
    assert fired.status == "resolved"


@pytest.mark.parametrize("url", ["", "unchanged"])
def test_overdue_watchdog_leaves_no_end_open_that_no_prometheus_could_confirm(
    monitoring: MonitoringStandIn, fired: Episode, post_alerts: Post, settings: Any, url: str
) -> None:
    settings.PROMETHEUS_URL = url and settings.PROMETHEUS_URL
    Heartbeat.beat(Heartbeat.WATCHDOG, timezone.now() - timedelta(hours=1))
    resolve(post_alerts)
    fired.refresh_from_db()
    assert (fired.status, fired.unconfirmed_at) == ("resolved", None)


def test_unconfirmed_end_is_accepted_when_prometheus_url_is_taken_away(
    silent_prometheus: MonitoringStandIn, fired: Episode, post_alerts: Post, pagerduty: Vendor, settings: Any
) -> None:
    resolve(post_alerts)
    settings.PROMETHEUS_URL = ""
    settle()
    fired.refresh_from_db()
    assert fired.status == "resolved"
    assert actions(pagerduty) == ["trigger", "resolve"]


def test_page_and_start_page_show_an_end_that_is_not_confirmed(
    silent_prometheus: MonitoringStandIn, fired: Episode, post_alerts: Post, sign_in: Callable[..., Client]
) -> None:
    resolve(post_alerts)
    viewer = sign_in("viewer")
    page = viewer.get(f"/admin/observability/episode/{fired.pk}/change/").content.decode()
    assert "Prometheus has not confirmed it" in page
    assert "End not confirmed" in page
    assert "End not confirmed" in viewer.get("/admin/").content.decode()
    assert "A resolve from Alertmanager is accepted unchecked" not in page


def test_storm_of_unconfirmed_ends_is_a_digest(
    silent_prometheus: MonitoringStandIn, post_alerts: Post, slack: Vendor
) -> None:
    post_alerts(*[alert(number, severity="warning") for number in range(20)])
    drain("slack")
    post_alerts(*[alert(number, severity="warning", status="resolved") for number in range(20)])
    assert headers(slack)[1:] == ["❔ END NOT CONFIRMED (warning): 20 alerts with an unconfirmed end"]


# --- Not mentioned by any sender ---


def make_unmentioned(episode: Episode, settings: Any) -> datetime:
    since = timezone.now() - timedelta(seconds=settings.ALERT_UNMENTIONED_AFTER_SECONDS + 1)
    Episode.objects.filter(pk=episode.pk).update(confirmed_at=since)
    return since


def ask() -> None:
    confirming.check_unmentioned_alerts(timezone.now())
    drain("slack")
    drain("pagerduty")


def test_alert_that_ended_while_it_was_silenced_ends_when_alertmanager_no_longer_knows_it(
    prometheus: MonitoringStandIn, fired: Episode, pagerduty: Vendor, settings: Any
) -> None:
    make_unmentioned(fired, settings)
    ask()
    fired.refresh_from_db()
    assert fired.status == "resolved"
    assert actions(pagerduty) == ["trigger", "resolve"]


def test_alert_that_alertmanager_still_holds_is_confirmed_and_goes_on(
    prometheus: MonitoringStandIn, fired: Episode, pagerduty: Vendor, settings: Any
) -> None:
    prometheus.fingerprints.append(fired.fingerprint)
    since = make_unmentioned(fired, settings)
    ask()
    fired.refresh_from_db()
    assert fired.status == "firing"
    assert fired.confirmed_at > since
    assert actions(pagerduty) == ["trigger"]


def test_alert_that_was_mentioned_lately_is_not_asked_about(
    prometheus: MonitoringStandIn, fired: Episode
) -> None:
    ask()
    fired.refresh_from_db()
    assert fired.status == "firing"


def test_nothing_is_ended_while_alertmanager_is_unreachable_and_the_pages_say_since_when(
    prometheus: MonitoringStandIn, fired: Episode, settings: Any, sign_in: Callable[..., Client]
) -> None:
    prometheus.alertmanager_answers = False
    make_unmentioned(fired, settings)
    ask()
    fired.refresh_from_db()
    assert fired.status == "firing"
    viewer = sign_in("viewer")
    assert (
        "Not confirmed since"
        in viewer.get(f"/admin/observability/episode/{fired.pk}/change/").content.decode()
    )
    assert "Not confirmed since" in viewer.get("/admin/").content.decode()
    assert "Not confirmed" in viewer.get("/admin/observability/episode/").content.decode()


def test_alertmanager_that_has_just_started_is_not_asked_what_is_gone(
    prometheus: MonitoringStandIn, fired: Episode, settings: Any
) -> None:
    prometheus.started_at = timezone.now() - timedelta(minutes=1)
    make_unmentioned(fired, settings)
    ask()
    fired.refresh_from_db()
    assert fired.status == "firing"


def test_what_alertmanager_lost_while_prometheus_is_silent_is_only_an_unconfirmed_end(
    silent_prometheus: MonitoringStandIn, fired: Episode, pagerduty: Vendor, slack: Vendor, settings: Any
) -> None:
    make_unmentioned(fired, settings)
    ask()
    fired.refresh_from_db()
    assert (fired.status, fired.unconfirmed_at is None) == ("firing", False)
    assert actions(pagerduty) == ["trigger"]
    assert headers(slack)[1] == "❔ END NOT CONFIRMED (critical): HighErrorRate"


def test_repeated_snapshot_confirms_an_alert_at_most_every_few_minutes(
    fired: Episode, post_alerts: Post
) -> None:
    first = fired.confirmed_at
    post_alerts(alert(1))
    fired.refresh_from_db()
    assert fired.confirmed_at == first
    Episode.objects.update(confirmed_at=first - timedelta(minutes=6))
    assert post_alerts(alert(1)).json()["stored"] == 0
    fired.refresh_from_db()
    assert fired.confirmed_at > first
