"""Escalation: who is notified next while no operator acknowledges an alert, exactly once."""

import os
import signal
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.utils import timezone

from observability.alerts import episodes, escalating, pipeline, pruning, reopening
from observability.alerts.delivery import drain
from observability.metrics import REGISTRY
from observability.models import Delivery, Episode, Escalation, Route
from observability.routes.changing import remove_route, save_route
from observability.routes.terms import Step, Terms
from observability.tests.monitoring_stand_in import MonitoringStandIn
from observability.tests.payloads import alert
from observability.tests.vendors import Vendor

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("channels", "monitoring")]
Post = Callable[..., Any]
Operator = Callable[..., Any]

TERMS = Terms("all", ("slack",), steps=(Step(15, ("pagerduty", "slack")), Step(30, ("slack",))))


@pytest.fixture
def approver(operator: Operator) -> Any:
    return operator("approver")


@pytest.fixture
def route(approver: Any) -> Route:
    return save_route(actor=approver, reason="Test.", terms=TERMS)


@pytest.fixture
def fired(route: Route, post_alerts: Post) -> Episode:
    post_alerts(alert(1))
    return Episode.objects.get()


def after(fired: Episode, minutes: float) -> datetime:
    return fired.first_seen_at + timedelta(minutes=minutes)


def pages(found: Episode) -> list[tuple[str, int]]:
    """(channel, round) of each page."""
    rows = found.deliveries.filter(kind=Delivery.Kind.TRIGGER).order_by("id")
    return list(rows.values_list("channel", "round"))


def said(found: Episode) -> list[str]:
    return list(found.events.filter(kind="escalated").values_list("text", flat=True))


def test_the_next_channel_is_notified_when_nobody_has_acknowledged_in_time_and_only_once(
    fired: Episode, rings: list[str], pagerduty: Vendor
) -> None:
    escalating.escalate_due(after(fired, 14.9))
    assert pages(fired) == [("slack", 0)]
    rings.clear()
    for _ in range(3):
        escalating.escalate_due(after(fired, 15))
    assert pages(fired) == [("slack", 0), ("pagerduty", 0)]
    assert said(fired) == ["Not acknowledged for 15 min: notifying PagerDuty."]
    drain("pagerduty")
    [event] = pagerduty.bodies()
    assert event["event_action"] == "trigger"
    assert ", not acknowledged for 15 min): " in event["payload"]["summary"]


def test_the_end_reaches_the_channels_of_the_escalation(fired: Episode, post_alerts: Post) -> None:
    escalating.escalate_due(after(fired, 16))
    post_alerts(alert(1, status="resolved"))
    ends = fired.deliveries.filter(kind=Delivery.Kind.RESOLVE)
    assert sorted(ends.values_list("channel", flat=True)) == ["pagerduty", "slack"]


def test_a_step_whose_channels_were_notified_before_sends_nothing_and_says_so(fired: Episode) -> None:
    escalating.escalate_due(after(fired, 31))
    assert pages(fired) == [("slack", 0), ("pagerduty", 0)]
    assert said(fired) == [
        "Not acknowledged for 15 min: notifying PagerDuty.",
        "Not acknowledged for 30 min: its channels were notified before.",
    ]


def test_what_is_acknowledged_or_resolved_meanwhile_is_not_escalated(
    fired: Episode, post_alerts: Post, approver: Any
) -> None:
    post_alerts(alert(2))
    post_alerts(alert(2, status="resolved"))
    episodes.acknowledge(episode_id=fired.pk, actor=approver)
    escalating.escalate_due(after(fired, 60))
    escalating.take_step(fired.pk, 15, after(fired, 60), is_held=False)  # it was due when the worker looked
    assert Escalation.objects.count() == 0
    assert Delivery.objects.filter(channel="pagerduty", kind="trigger").count() == 0


def test_a_silenced_alert_is_held_and_escalated_when_the_silence_ends(
    fired: Episode, monitoring: MonitoringStandIn
) -> None:
    monitoring.fingerprints = monitoring.suppressed = [fired.fingerprint]
    for _ in range(3):
        escalating.escalate_due(after(fired, 16))
    assert pages(fired) == [("slack", 0)]
    assert said(fired) == ["Not acknowledged for 15 min; held, because Alertmanager suppresses the alert."]
    monitoring.suppressed = []
    escalating.escalate_due(after(fired, 17))
    assert pages(fired) == [("slack", 0), ("pagerduty", 0)]


def test_while_alertmanager_does_not_answer_an_alert_is_escalated(
    fired: Episode, monitoring: MonitoringStandIn
) -> None:
    monitoring.alertmanager_answers = False
    escalating.escalate_due(after(fired, 16))
    assert pages(fired) == [("slack", 0), ("pagerduty", 0)]


def test_nothing_is_asked_while_no_step_is_due(fired: Episode, monitoring: MonitoringStandIn) -> None:
    escalating.escalate_due(after(fired, 1))
    assert monitoring.asked == []


def test_an_alert_that_is_reopened_is_escalated_anew_counted_from_then(
    fired: Episode, post_alerts: Post
) -> None:
    escalating.escalate_due(after(fired, 16))
    post_alerts(alert(1, status="resolved"))
    reopening.reopen(fired.pk, after(fired, 60), "It fires again.")
    escalating.escalate_due(after(fired, 74))
    assert pages(fired)[2:] == [("slack", 1)]
    escalating.escalate_due(after(fired, 75))
    assert pages(fired)[2:] == [("slack", 1), ("pagerduty", 1)]


def test_a_removed_route_escalates_nothing(fired: Episode, route: Route, approver: Any) -> None:
    remove_route(actor=approver, reason="Test.", route_id=route.pk)
    escalating.escalate_due(after(fired, 16))
    assert Escalation.objects.count() == 0


def test_the_database_refuses_a_step_that_is_taken_twice(fired: Episode) -> None:
    escalating.escalate_due(after(fired, 16))
    with pytest.raises(IntegrityError, match="a_step_is_taken_once_for_each_round"), transaction.atomic():
        Escalation.objects.create(episode=fired, round=0, after_minutes=15, state="taken")


def test_escalations_are_counted(
    fired: Episode, django_capture_on_commit_callbacks: Callable[..., Any]
) -> None:
    before = counted()
    with django_capture_on_commit_callbacks(execute=True):
        escalating.escalate_due(after(fired, 31))
    assert [now - then for now, then in zip(counted(), before, strict=True)] == [0, 1, 1]


def counted() -> list[float]:
    name, outcomes = "amani_alert_escalations_total", ("held", "known", "notified")
    return [REGISTRY.get_sample_value(name, {"outcome": outcome}) or 0.0 for outcome in outcomes]


def test_the_worker_escalates_and_the_page_says_what_comes_next(
    fired: Episode, sign_in: Callable[..., Client]
) -> None:
    page = f"/admin/observability/episode/{fired.pk}/change/"
    browser = sign_in("viewer")
    assert "PagerDuty, Slack" in browser.get(page).content.decode()
    Episode.objects.filter(pk=fired.pk).update(reopened_at=timezone.now() - timedelta(minutes=16))
    pipeline.watch()
    assert pages(fired) == [("slack", 0), ("pagerduty", 0)]
    assert "Not acknowledged for 15 min: notifying PagerDuty." in browser.get(page).content.decode()


def test_escalations_are_deleted_with_their_alert(fired: Episode, post_alerts: Post) -> None:
    escalating.escalate_due(after(fired, 16))
    post_alerts(alert(1, status="resolved"))
    Delivery.objects.update(state=Delivery.State.DELIVERED, finished_at=timezone.now())
    pruning.prune_history(before=timezone.now() + timedelta(days=1))
    assert (Episode.objects.count(), Escalation.objects.count()) == (0, 0)


# --- Races and kills ---


@pytest.mark.django_db(transaction=True)
def test_of_two_workers_one_takes_the_step_and_a_killed_one_leaves_it_whole(
    fired: Episode,
) -> None:
    """The first worker is killed inside its transaction, with the deliveries planned and not committed."""
    child = os.fork()
    if child == 0:
        connection.connection = None  # the parent's
        with transaction.atomic():
            escalating.take_step(fired.pk, 15, after(fired, 16), is_held=False)
            os.kill(os.getpid(), signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    assert Escalation.objects.count() == 0

    def work() -> None:
        barrier.wait()
        escalating.escalate_due(after(fired, 16))
        connection.close()

    barrier = threading.Barrier(2)
    workers = [threading.Thread(target=work) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert pages(fired) == [("slack", 0), ("pagerduty", 0)]
    assert said(fired) == ["Not acknowledged for 15 min: notifying PagerDuty."]
