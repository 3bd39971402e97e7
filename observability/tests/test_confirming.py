"""Unconfirmed ends, and alerts that no sender mentions any more."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from observability.alerts import confirming, pipeline, trust
from observability.alerts.delivery import drain
from observability.alerts.monitoring import AlertingRule
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
    """Answers, has answered for an hour, and has the rule of the alerts."""
    monitoring.rules = {"HighErrorRate": (timezone.now(), [])}
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


def test_end_is_notified_when_prometheus_confirms_it(
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
    last = fired.events.exclude(kind="ending").last()
    assert last is not None
    assert (last.kind, last.text) == ("resolved", "Confirmed by Prometheus.")


@pytest.mark.parametrize("labels", [LABELS, {"alertname": "HighErrorRate", "instance": "web-1"}])
def test_alert_that_fires_in_prometheus_stays_firing_without_another_page(
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
    last = fired.events.exclude(kind="ending").last()
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


# --- Where the spans end ---

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


@pytest.fixture
def spans(settings: Any) -> None:
    settings.PROMETHEUS_SILENT_AFTER_SECONDS = 60
    settings.PROMETHEUS_SETTLES_IN_SECONDS = 120
    settings.WATCHDOG_TIMEOUT_SECONDS = 240
    settings.ALERT_UNMENTIONED_AFTER_SECONDS = 600


def sign(name: str, **fields: Any) -> None:
    Heartbeat.objects.update_or_create(name=name, defaults=fields)


@pytest.mark.usefixtures("spans", "monitoring")
@pytest.mark.parametrize(("silent", "settles_anew"), [(60 * SECOND, False), (61 * SECOND, True)])
def test_prometheus_settles_anew_after_it_was_silent(silent: timedelta, settles_anew: bool) -> None:
    sign("prometheus", last_seen_at=NOON - silent, watching_since=NOON - timedelta(hours=1))
    confirming.check_prometheus(NOON)
    row = Heartbeat.objects.get(pk="prometheus")
    assert row.last_seen_at == NOON
    assert row.watching_since == (NOON if settles_anew else NOON - timedelta(hours=1))


@pytest.mark.usefixtures("spans")
def test_prometheus_that_does_not_answer_leaves_no_sign(monitoring: MonitoringStandIn) -> None:
    monitoring.prometheus_answers = False
    confirming.check_prometheus(NOON)
    assert not Heartbeat.objects.filter(pk="prometheus").exists()


@pytest.mark.usefixtures("spans")
@pytest.mark.parametrize(
    ("seen", "since", "has_settled"),
    [
        (60, 120, True),
        (61, 120, False),
        (60, 119, False),
        (0, 121, True),
    ],
)
def test_prometheus_has_settled_when_it_has_answered_for_long_enough(
    seen: int, since: int, has_settled: bool
) -> None:
    sign("prometheus", last_seen_at=NOON - seen * SECOND, watching_since=NOON - since * SECOND)
    assert confirming.prometheus_has_settled(NOON) == has_settled


@pytest.mark.usefixtures("spans")
@pytest.mark.parametrize(
    ("watchdog", "prometheus", "ended", "can_trust"),
    [
        (240, 60, False, True),
        (241, 60, False, False),
        (240, 61, False, False),
        (0, 0, True, False),
    ],
)
def test_resolves_are_trusted_while_both_signs_of_life_are_in_time(
    monitoring: MonitoringStandIn, watchdog: int, prometheus: int, ended: bool, can_trust: bool
) -> None:
    sign("watchdog", last_seen_at=NOON - watchdog * SECOND, ended_at=NOON if ended else None)
    sign("prometheus", last_seen_at=NOON - prometheus * SECOND)
    assert trust.can_trust_resolves(NOON) == can_trust


@pytest.mark.usefixtures("spans")
def test_signs_of_life_are_watched_only_with_a_prometheus(settings: Any) -> None:
    settings.PROMETHEUS_URL = "http://prometheus:9090"
    assert trust.overdue_before(NOON) == {"watchdog": NOON - 240 * SECOND, "prometheus": NOON - 60 * SECOND}
    settings.PROMETHEUS_URL = ""
    assert trust.overdue_before(NOON) == {}


@pytest.mark.usefixtures("spans")
@pytest.mark.parametrize(
    ("url", "seen_at", "are_unchecked"),
    [
        ("", NOON, True),
        ("http://prometheus:9090", None, True),
        ("http://prometheus:9090", NOON, False),
    ],
)
def test_resolves_are_unchecked_until_a_prometheus_has_answered(
    settings: Any, url: str, seen_at: datetime | None, are_unchecked: bool
) -> None:
    settings.PROMETHEUS_URL = url
    sign("prometheus", last_seen_at=seen_at)
    assert trust.resolves_are_unchecked() == are_unchecked


@pytest.mark.usefixtures("spans")
@pytest.mark.parametrize(("evaluated", "status"), [(0 * SECOND, "firing"), (SECOND, "resolved")])
def test_end_is_confirmed_only_by_a_later_evaluation_of_every_rule_of_the_name(
    fired: Episode, evaluated: timedelta, status: str
) -> None:
    confirming.store_unconfirmed_end(fired.pk, NOON, "Silent.")
    fired.refresh_from_db()
    rules = [
        AlertingRule("HighErrorRate", NOON + timedelta(hours=1), ()),
        AlertingRule("HighErrorRate", NOON + evaluated, ()),
    ]
    confirming.settle(fired, rules, NOON + timedelta(hours=2))
    fired.refresh_from_db()
    assert fired.status == status


@pytest.mark.usefixtures("spans")
@pytest.mark.parametrize(("unmentioned", "is_asked"), [(600 * SECOND, False), (601 * SECOND, True)])
def test_alert_is_asked_about_when_it_was_not_mentioned_for_too_long(
    monitoring: MonitoringStandIn, fired: Episode, unmentioned: timedelta, is_asked: bool
) -> None:
    monitoring.fingerprints.append(fired.fingerprint)
    monitoring.started_at = NOON - timedelta(days=1)
    Episode.objects.update(confirmed_at=NOON - unmentioned)
    confirming.check_unmentioned_alerts(NOON)
    fired.refresh_from_db()
    assert fired.confirmed_at == (NOON if is_asked else NOON - unmentioned)


@pytest.mark.usefixtures("spans")
@pytest.mark.parametrize(("runs_for", "status"), [(299 * SECOND, "firing"), (300 * SECOND, "resolved")])
def test_alertmanager_knows_its_alerts_five_minutes_after_its_start(
    prometheus: MonitoringStandIn, fired: Episode, runs_for: timedelta, status: str
) -> None:
    now = timezone.now()
    prometheus.started_at = now - runs_for
    Episode.objects.update(confirmed_at=now - timedelta(days=1))
    confirming.check_unmentioned_alerts(now)
    fired.refresh_from_db()
    assert fired.status == status


# --- What is written down ---


def test_unconfirmed_end_is_stored_once_and_sent_where_it_can_be_shown(
    fired: Episode, rings: list[str]
) -> None:
    rings.clear()
    confirming.store_unconfirmed_end(fired.pk, NOON, "Silent.")
    confirming.store_unconfirmed_end(fired.pk, NOON + SECOND, "Silent again.")
    fired.refresh_from_db()
    assert (fired.status, fired.unconfirmed_at) == ("firing", NOON)
    [event] = fired.events.filter(kind="unconfirmed")
    assert (event.at, event.text) == (NOON, "Silent.")
    assert list(fired.deliveries.filter(kind="unconfirmed").values_list("channel", flat=True)) == ["slack"]
    assert rings == ["slack"]


def test_end_that_is_taken_back_leaves_the_episode_firing_and_says_why(fired: Episode) -> None:
    confirming.cancel_unconfirmed_end(fired.pk, NOON, "It had none.")
    assert not fired.events.filter(kind="continues").exists()
    confirming.store_unconfirmed_end(fired.pk, NOON, "Silent.")
    Episode.objects.update(ends_at=NOON)
    confirming.cancel_unconfirmed_end(fired.pk, NOON + SECOND, "It still fires.")
    fired.refresh_from_db()
    assert (fired.status, fired.unconfirmed_at, fired.ends_at) == ("firing", None, None)
    assert fired.confirmed_at == NOON + SECOND
    [event] = fired.events.filter(kind="continues")
    assert (event.at, event.text) == (NOON + SECOND, "It still fires.")


@pytest.mark.parametrize("known_end", [None, NOON - timedelta(minutes=1)])
def test_end_is_the_reported_one_or_now_and_is_told_where_the_alert_was(
    fired: Episode, rings: list[str], known_end: datetime | None
) -> None:
    rings.clear()
    Episode.objects.update(ends_at=known_end, unconfirmed_at=NOON - SECOND)
    confirming.end(fired.pk, NOON, "Confirmed.")
    confirming.end(fired.pk, NOON + SECOND, "Confirmed again.")
    fired.refresh_from_db()
    assert (fired.status, fired.resolved_at, fired.unconfirmed_at) == ("resolved", NOON, None)
    assert fired.ends_at == (known_end or NOON)
    [event] = fired.events.filter(kind="resolved")
    assert (event.at, event.text) == (NOON, "Confirmed.")
    notified = fired.deliveries.filter(kind="resolve").values_list("channel", flat=True)
    assert (sorted(notified), sorted(rings)) == (["pagerduty", "slack"], ["pagerduty", "slack"])


def test_nothing_is_sent_about_an_alert_that_alertmanager_tells_itself(
    post_alerts: Post, rings: list[str]
) -> None:
    post_alerts(alert(1, labels=LABELS | {"notified_by": "alertmanager"}))
    rings.clear()
    episode = Episode.objects.get()
    confirming.store_unconfirmed_end(episode.pk, NOON, "Silent.")
    confirming.end(episode.pk, NOON, "Confirmed.")
    episode.refresh_from_db()
    assert episode.status == "resolved"
    assert (episode.deliveries.count(), rings) == (0, [])
