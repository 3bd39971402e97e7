from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from observability.alerts import pipeline
from observability.alerts.delivery import drain
from observability.models import Channel, Delivery, Episode, Heartbeat
from observability.models.episode import Severity
from observability.tests.payloads import alert
from observability.tests.vendors import Reply, Vendor

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("channels")]
Post = Callable[..., Any]


def test_backlog_counts_what_waits_alone_and_what_waits_in_a_digest(post_alerts: Post, slack: Vendor) -> None:
    slack.default = Reply(500)
    post_alerts(*[alert(number, severity="warning") for number in range(10)])
    drain("slack")
    post_alerts(alert(11, severity="critical"))
    old = timezone.now() - timedelta(hours=1)
    Delivery.objects.filter(state="digested").update(created_at=old)
    counts = pipeline.backlog()
    assert counts["slack"] == (11, old)
    assert counts["pagerduty"][0] == 1


def test_backlog_of_finished_deliveries_is_empty(post_alerts: Post) -> None:
    post_alerts(alert(1))
    drain("slack")
    drain("pagerduty")
    assert pipeline.backlog() == {"slack": (0, None), "pagerduty": (0, None)}


def test_backlog_never_reads_the_whole_history(post_alerts: Post) -> None:
    with (
        CaptureQueriesContext(
            connection,
        ) as queries,
        connection.cursor() as cursor,
    ):
        pipeline.backlog()
        cursor.execute("SET enable_seqscan = off")
        plans = []
        for query in queries.captured_queries[:2]:
            cursor.execute(f"EXPLAIN {query['sql']}")
            plans.append("\n".join(row[0] for row in cursor.fetchall()))
        cursor.execute("RESET enable_seqscan")
    assert ["Seq Scan on observability_delivery" in plan for plan in plans] == [False, False]


def test_watching_is_the_sign_of_life_of_the_worker() -> None:
    began = timezone.now()
    pipeline.watch()
    assert Heartbeat.objects.filter(pk="worker", last_seen_at__gte=began).exists()


def test_every_channel_has_its_row_before_the_first_message() -> None:
    assert set(Channel.objects.values_list("pk", flat=True)) == {"slack", "pagerduty"}


@pytest.mark.parametrize(("pagerduty_key", "reason"), [("", "no_channel"), ("R" * 32, "")])
def test_alert_about_the_only_channel_says_that_nobody_was_notified(
    settings: Any, pagerduty_key: str, reason: str
) -> None:
    settings.PAGERDUTY_API_KEY = pagerduty_key
    pipeline.open_alert(
        "AlertChannelDown",
        subject="slack",
        severity=Severity.CRITICAL,
        summary="Slack refuses messages",
        except_channel="slack",
    )
    episode = Episode.objects.get()
    assert episode.not_notified == reason
    assert Delivery.objects.exists() == (reason == "")
