from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from observability.alerts import reopening
from observability.alerts.delivery import drain
from observability.models import Delivery, Episode
from observability.tests.monitoring_stand_in import MonitoringStandIn
from observability.tests.payloads import alert
from observability.tests.vendors import Vendor

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("channels")]
Post = Callable[..., Any]


@pytest.fixture
def alertmanager(monitoring: MonitoringStandIn) -> list[str]:
    """The fingerprints that Alertmanager holds."""
    return monitoring.fingerprints


@pytest.fixture
def late_firing(post_alerts: Post) -> Episode:
    """Told as fired and as resolved, then a firing snapshot with the same start arrives."""
    post_alerts(alert(1))
    drain("pagerduty")
    post_alerts(alert(1, status="resolved"))
    drain("pagerduty")
    post_alerts(alert(1))
    return Episode.objects.get()


def test_late_copy_is_forgotten_when_alertmanager_does_not_know_it(
    late_firing: Episode, alertmanager: list[str], pagerduty: Vendor
) -> None:
    reopening.check_refired(timezone.now())
    drain("pagerduty")
    late_firing.refresh_from_db()
    assert (late_firing.status, late_firing.refired_at, late_firing.round) == ("resolved", None, 0)
    assert len(pagerduty.bodies()) == 2


def test_alert_that_still_fires_is_reopened_and_notified_again(
    late_firing: Episode, alertmanager: list[str], pagerduty: Vendor, post_alerts: Post
) -> None:
    alertmanager.append(late_firing.fingerprint)
    reopening.check_refired(timezone.now())
    drain("pagerduty")
    post_alerts(alert(1, status="resolved", endsAt=timezone.now().isoformat()))
    drain("pagerduty")
    assert [event["event_action"] for event in pagerduty.bodies()] == ["trigger", "resolve"] * 2
    kinds = [event.kind for event in late_firing.events.exclude(kind="ending")]
    assert kinds == ["fired", "resolved", "reopened", "resolved"]


@pytest.mark.parametrize(("channels", "reason"), [((), "severity_not_routed"), (("slack",), "")])
def test_alert_that_is_opened_again_says_whether_it_is_notified_this_time(
    late_firing: Episode, alertmanager: list[str], settings: Any, channels: tuple[str, ...], reason: str
) -> None:
    assert late_firing.not_notified == ""
    settings.ALERT_ROUTES = settings.ALERT_ROUTES | {"critical": channels}
    alertmanager.append(late_firing.fingerprint)
    reopening.check_refired(timezone.now())
    late_firing.refresh_from_db()
    assert late_firing.not_notified == reason
    notified = late_firing.deliveries.filter(round=1).values_list("channel", flat=True)
    assert tuple(notified) == channels


def test_copy_of_the_first_resolve_does_not_end_the_round_that_was_opened(
    late_firing: Episode, alertmanager: list[str], post_alerts: Post
) -> None:
    alertmanager.append(late_firing.fingerprint)
    reopening.check_refired(timezone.now())
    assert post_alerts(alert(1, status="resolved")).json()["stored"] == 0
    late_firing.refresh_from_db()
    assert (late_firing.status, late_firing.round) == ("firing", 1)


def test_hundred_late_copies_are_one_doubt(late_firing: Episode, post_alerts: Post) -> None:
    before = Episode.objects.values().get()
    for _ in range(100):
        post_alerts(alert(1))
    assert Episode.objects.values().get() == before
    assert Delivery.objects.filter(channel="pagerduty").count() == 2


def test_without_an_answer_it_stays_resolved_for_a_while_and_then_opens(
    late_firing: Episode, settings: Any
) -> None:
    settings.ALERTMANAGER_URL = "http://127.0.0.1:1"
    reopening.check_refired(timezone.now())
    late_firing.refresh_from_db()
    assert late_firing.status == "resolved"
    reopening.check_refired(timezone.now() + timedelta(minutes=6))
    late_firing.refresh_from_db()
    assert (late_firing.status, late_firing.round) == ("firing", 1)


@pytest.mark.parametrize(
    ("waited", "status"), [(timedelta(minutes=5), "resolved"), (timedelta(minutes=5, seconds=1), "firing")]
)
def test_without_an_answer_it_opens_after_five_minutes(
    late_firing: Episode, settings: Any, waited: timedelta, status: str
) -> None:
    settings.ALERTMANAGER_URL = "http://127.0.0.1:1"
    assert late_firing.refired_at is not None
    reopening.check_refired(late_firing.refired_at + waited)
    late_firing.refresh_from_db()
    assert late_firing.status == status


def test_round_that_is_opened_begins_like_a_new_alert(
    late_firing: Episode, alertmanager: list[str], rings: list[str], django_user_model: Any
) -> None:
    ada = django_user_model.objects.create_user("ada@example.com")
    Episode.objects.update(acknowledged_at=timezone.now(), acknowledged_by=ada, round=4)
    alertmanager.append(late_firing.fingerprint)
    rings.clear()
    now = timezone.now()
    reopening.check_refired(now)
    late_firing.refresh_from_db()
    assert (late_firing.status, late_firing.round) == ("firing", 5)
    assert (late_firing.resolved_at, late_firing.ends_at, late_firing.refired_at) == (None, None, None)
    assert (late_firing.acknowledged_at, late_firing.acknowledged_by) == (None, None)
    assert (late_firing.latest_start_at, late_firing.confirmed_at) == (now, now)
    last = late_firing.events.last()
    assert last is not None
    assert (last.kind, last.at) == ("reopened", now)
    assert last.text == "Alertmanager reports that it still fires."
    planned = late_firing.deliveries.filter(round=5).values_list("channel", "kind")
    assert sorted(planned) == [("pagerduty", "trigger"), ("slack", "trigger")]
    assert sorted(rings) == ["pagerduty", "slack"]


def test_without_an_answer_the_start_stays_the_known_one(late_firing: Episode, settings: Any) -> None:
    settings.ALERTMANAGER_URL = "http://127.0.0.1:1"
    known = late_firing.latest_start_at
    reopening.check_refired(timezone.now() + timedelta(minutes=6))
    late_firing.refresh_from_db()
    assert (late_firing.round, late_firing.latest_start_at) == (1, known)
    last = late_firing.events.last()
    assert last is not None
    assert last.text == "Reported as firing again, and Alertmanager did not answer."


def test_each_late_copy_is_decided_by_itself(post_alerts: Post, alertmanager: list[str]) -> None:
    for status in ("firing", "resolved", "firing"):
        post_alerts(*(alert(number, status=status) for number in (1, 2, 3)))
    first, second, third = Episode.objects.order_by("fingerprint")
    alertmanager.append(second.fingerprint)
    reopening.check_refired(timezone.now())
    rows = Episode.objects.order_by("fingerprint").values_list("status", "refired_at", "round")
    assert list(rows) == [("resolved", None, 0), ("firing", None, 1), ("resolved", None, 0)]
    assert first.refired_at is not None
    assert third.refired_at is not None


def test_episode_that_fires_is_not_opened_again(post_alerts: Post) -> None:
    post_alerts(alert(1))
    before = Episode.objects.values().get()
    reopening.reopen(before["id"], timezone.now(), "Again.")
    assert Episode.objects.values().get() == before
