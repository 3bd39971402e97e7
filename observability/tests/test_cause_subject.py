"""What an alert is about, and the time in which to look."""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
import yaml
from django.conf import settings

from observability.admin.cause.subject import Kind, Subject, subject_of
from observability.models import Episode

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
RULES = settings.BASE_DIR / "deploy" / "prometheus" / "rules" / "alert_rules.yml"


def about(alertname: str = "X", expression: str = "", **changes: Any) -> Subject:
    began = NOW - timedelta(minutes=10)
    episode = Episode(
        alertname=alertname,
        starts_at=began,
        status=changes.pop("status", "firing"),
        labels=changes.pop("labels", {}),
        generator_url=f"http://prometheus/graph?g0.expr={quote(expression)}&g0.tab=1",
    )
    for name, value in changes.items():
        setattr(episode, name, value)
    return subject_of(episode, NOW)


SHIPPED = {
    "HighErrorRate": (Kind.REQUESTS, True),
    "HighResponseTime": (Kind.REQUESTS, False),
    "SlowDatabaseQueries": (Kind.QUERIES, False),
    "HighMemoryUsage": (Kind.REQUESTS, False),
    "TasksFailing": (Kind.TASKS, True),
    "AlertDeliveriesFailing": (Kind.DELIVERIES, True),
    "AlertsUndelivered": (Kind.DELIVERIES, False),
    "AlertWebhookNotStored": (Kind.REQUESTS, True),
    "DiskSpaceLow": (Kind.OTHER, False),
    "ApplicationDown": (Kind.OTHER, False),
}


@pytest.mark.parametrize("name", SHIPPED)
def test_the_rules_that_ship_say_what_they_are_about(name: str) -> None:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    expression = next(
        rule["expr"] for group in groups for rule in group["rules"] if rule.get("alert") == name
    )
    subject = about(name, expression)
    assert (subject.kind, subject.about_errors) == SHIPPED[name]


@pytest.mark.parametrize("label", ["endpoint", "path", "handler"])
def test_an_endpoint_in_the_labels_is_what_it_is_about(label: str) -> None:
    subject = about(labels={label: "/api/v1/deals", "method": "POST", "status": "503", "job": "amani"})
    assert (subject.kind, subject.endpoint, subject.method) == (Kind.REQUESTS, "/api/v1/deals", "POST")
    assert (subject.about_errors, subject.job) == (True, "amani")


def test_a_task_in_the_labels_is_what_it_is_about() -> None:
    subject = about(labels={"task": "observability.tasks.deliver_due"})
    assert (subject.kind, subject.task) == (Kind.TASKS, "observability.tasks.deliver_due")


def test_alerts_about_the_webhook_name_its_endpoint() -> None:
    expression = 'sum(increase(amani_alert_webhooks_total{outcome="failed"}[2m])) > 1'
    assert about(expression=expression).endpoint == "/api/v1/alerts/webhook"


@pytest.mark.parametrize("value", ["/a\nb", "/\u202eevil", "/" + "a" * 200, ""])
def test_a_label_that_can_be_no_endpoint_is_none(value: str) -> None:
    assert about(labels={"endpoint": value}).endpoint == ""


@pytest.mark.parametrize(
    ("changes", "first", "last"),
    [
        ({}, -15, 1),
        ({"status": "resolved", "ends_at": NOW - timedelta(minutes=3)}, -15, -2),
        ({"status": "resolved", "resolved_at": NOW - timedelta(minutes=4)}, -15, -3),
        ({"status": "notice"}, -15, -9),
        ({"starts_at": NOW - timedelta(days=3)}, -3 * 24 * 60 - 5, -3 * 24 * 60 - 5 + 360),
        ({"status": "resolved", "ends_at": NOW - timedelta(days=9)}, -15, -9),
        ({"starts_at": datetime.max.replace(tzinfo=UTC)}, -5, 1),
    ],
)
def test_the_window_is_around_the_alert_and_never_longer_than_six_hours(
    changes: dict[str, Any], first: int, last: int
) -> None:
    subject = about(**changes)
    minute = timedelta(minutes=1)
    assert (subject.start - NOW, subject.end - NOW) == (first * minute, last * minute)


def test_a_start_before_all_clocks_is_no_error() -> None:
    subject = about(starts_at=datetime.min.replace(tzinfo=UTC))
    assert subject.start == datetime(1999, 12, 31, 23, 55, tzinfo=UTC)
    assert subject.end - subject.start == timedelta(hours=6)
