from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from observability import metrics
from observability.alerts import confirming, pipeline, reopening, watchdog
from observability.alerts.delivery import drain
from observability.models import Channel, Delivery, Episode, Heartbeat
from observability.models.episode import Severity
from observability.notifiers import registry
from observability.notifiers.base import Delivered, Outcome, Rejected, RetryLater
from observability.tests.payloads import alert
from observability.tests.vendors import Reply, Vendor

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("channels")]
Post = Callable[..., Any]
WATCHDOG_ABSENT = ("WatchdogAbsent", "alertmanager")


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
    assert set(Channel.objects.values_list("pk", flat=True)) >= {"slack", "pagerduty"}


def report_slack() -> Episode:
    """The alert that Slack refuses messages, firing."""
    pipeline.open_alert(
        "AlertChannelDown",
        subject="slack",
        severity=Severity.CRITICAL,
        summary="Slack refuses messages",
        except_channel="slack",
    )
    return Episode.objects.get()


def test_alert_about_a_channel_is_an_episode_that_the_other_channels_send(
    rings: list[str], settings: Any
) -> None:
    settings.RUNBOOK_BASE_URL = "https://amani.example/runbooks"
    began = timezone.now()
    episode = report_slack()
    assert began <= episode.starts_at == episode.first_seen_at <= timezone.now()
    assert (episode.status, episode.severity, episode.source) == ("firing", "critical", "pipeline")
    assert (episode.fingerprint, episode.alertname) == ("pipeline-AlertChannelDown-slack", "AlertChannelDown")
    assert episode.dedup_key == f"amani-{episode.fingerprint}-{episode.starts_at.isoformat()}"
    assert episode.labels == {
        "alertname": "AlertChannelDown",
        "severity": "critical",
        "service": "amani",
        "subject": "slack",
    }
    assert episode.annotations == {
        "summary": "Slack refuses messages",
        "runbook_url": "https://amani.example/runbooks/AlertDeliveryChannelRejected/",
    }
    assert [(event.kind, event.at) for event in episode.events.all()] == [("fired", episode.starts_at)]
    assert list(episode.deliveries.values_list("channel", "kind")) == [("pagerduty", "trigger")]
    assert rings == ["pagerduty"]


def test_alert_that_fires_is_not_opened_twice(rings: list[str]) -> None:
    report_slack()
    report_slack()
    assert Delivery.objects.count() == 1
    assert rings == ["pagerduty"]


def test_end_of_a_pipeline_alert_goes_where_its_start_went(rings: list[str]) -> None:
    report_slack()
    began = timezone.now()
    pipeline.close_alert("AlertChannelDown", subject="slack")
    episode = Episode.objects.get()
    assert episode.resolved_at is not None
    assert began <= episode.resolved_at <= timezone.now()
    assert episode.ends_at == episode.resolved_at
    assert episode.status == "resolved"
    ends = episode.events.order_by("pk").values_list("kind", "at")
    assert list(ends) == [("fired", episode.starts_at), ("resolved", episode.resolved_at)]
    sent = episode.deliveries.order_by("pk").values_list("channel", "kind")
    assert list(sent) == [("pagerduty", "trigger"), ("pagerduty", "resolve")]
    assert rings == ["pagerduty", "pagerduty"]
    pipeline.close_alert("AlertChannelDown", subject="slack")
    assert Delivery.objects.count() == 2


def test_end_of_one_pipeline_alert_ends_no_other() -> None:
    report_slack()
    pipeline.close_alert("AlertChannelDown", subject="pagerduty")
    pipeline.close_alert("WatchdogAbsent", subject="slack")
    assert Episode.objects.get().status == "firing"


def test_channel_that_delivers_loses_its_flag_and_the_other_keeps_its_own() -> None:
    since = timezone.now()
    Channel.objects.update(flagged_at=since, flag_reason="404 no_service")
    report_slack()
    pipeline.clear_flag("slack")
    rows = Channel.objects.filter(pk__in=registry.NOTIFIERS).order_by("pk")
    assert list(rows.values_list("pk", "flagged_at", "flag_reason")) == [
        ("pagerduty", since, "404 no_service"),
        ("slack", None, ""),
    ]
    assert Episode.objects.get().status == "resolved"


def test_channel_without_a_flag_resolves_nothing() -> None:
    report_slack()
    pipeline.clear_flag("slack")
    assert Episode.objects.get().status == "firing"


@pytest.mark.parametrize(
    ("outcome", "state", "reason", "flag"),
    [
        (Rejected("404 no_service", flags_channel=True), "failed", "404 no_service", "404 no_service"),
        (Rejected("invalid_blocks", flags_channel=False), "failed", "invalid_blocks", None),
        (RetryLater(None, "500"), "pending", "500", None),
        (RetryLater(None, "500"), "dead", "Given up: 500", "Given up: 500"),
        (Rejected("", flags_channel=True), "failed", "", "given up"),
    ],
)
def test_channel_is_flagged_when_it_refuses_or_costs_a_delivery(
    outcome: Outcome, state: str, reason: str, flag: str | None
) -> None:
    began = timezone.now()
    pipeline.note_channel_health("slack", Delivery(state=state, reason=reason), outcome)
    channel = Channel.objects.get(pk="slack")
    assert channel.flag_reason == (flag or "")
    assert (channel.flagged_at is not None and channel.flagged_at >= began) == bool(flag)
    summaries = [f"Amani cannot send notifications through Slack: {flag}"] if flag else []
    assert list(Episode.objects.values_list("summary", flat=True)) == summaries
    assert list(Delivery.objects.values_list("channel", flat=True)) == ["pagerduty"] * bool(flag)
    assert Channel.objects.get(pk="pagerduty").flagged_at is None


@pytest.mark.parametrize(("pagerduty_key", "reason"), [("", "no_channel"), ("R" * 32, "")])
def test_alert_about_the_only_channel_says_that_no_notification_was_sent(
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


def test_each_look_runs_every_check_at_one_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = timezone.now()
    ran: list[Any] = []
    monkeypatch.setattr(timezone, "now", lambda: now)
    checks = [
        (pipeline, "check_watchdog"),
        (confirming, "check_prometheus"),
        (reopening, "check_refired"),
        (confirming, "settle_unconfirmed_ends"),
        (confirming, "check_unmentioned_alerts"),
        (pipeline, "update_gauges"),
    ]
    for module, name in checks:
        monkeypatch.setattr(module, name, lambda moment, name=name: ran.append((name, moment)))
    pipeline.watch()
    assert ran == [(name, now) for _, name in checks]


def test_gauges_say_what_waits_what_is_flagged_what_fires_and_that_the_worker_lives(
    post_alerts: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: dict[str, Any] = {"backlog": {}, "flag": {}}
    monkeypatch.setattr(
        metrics, "record_backlog", lambda channel, *row: said["backlog"].update({channel: row})
    )
    monkeypatch.setattr(
        metrics, "record_channel_flag", lambda channel, flag: said["flag"].update({channel: flag})
    )
    monkeypatch.setattr(metrics, "record_firing", lambda firing: said.update(firing=firing))
    monkeypatch.setattr(metrics, "record_worker_heartbeat", lambda at: said.update(at=at))
    post_alerts(alert(1, severity="warning"), alert(2, severity="warning"), alert(3, severity="error"))
    post_alerts(alert(3, severity="error", status="resolved"))
    now = timezone.now() + timedelta(hours=1)
    Delivery.objects.update(created_at=now)
    oldest = Delivery.objects.filter(state="pending").order_by("pk").last()
    assert oldest is not None
    Delivery.objects.filter(pk=oldest.pk).update(created_at=now - timedelta(seconds=90))
    Channel.objects.filter(pk="slack").update(flagged_at=now, flag_reason="404 no_service")
    pipeline.update_gauges(now)
    assert said == {
        "backlog": {"slack": (4, 90.0), "pagerduty": (0, 0.0)},
        "flag": {"slack": True, "pagerduty": False},
        "firing": {"critical": 0, "error": 0, "warning": 2, "info": 0},
        "at": now.timestamp(),
    }


@pytest.mark.parametrize("older", ["alone", "in a digest"])
def test_oldest_of_the_backlog_may_wait_alone_or_in_a_digest(post_alerts: Post, older: str) -> None:
    post_alerts(*[alert(number, severity="warning") for number in range(3)])
    first, second, third = Delivery.objects.order_by("pk")
    digest = Delivery.objects.create(channel="slack", kind="digest", severity="warning", priority=1)
    Delivery.objects.filter(pk__in=[second.pk, third.pk]).update(state="digested", digest=digest)
    old = timezone.now() - timedelta(hours=1)
    Delivery.objects.filter(pk=first.pk if older == "alone" else third.pk).update(created_at=old)
    assert pipeline.backlog() == {"slack": (3, old), "pagerduty": (0, None)}


@pytest.mark.parametrize(
    ("is_present", "is_overdue", "fired", "did"),
    [
        (True, False, True, ["close"]),
        (True, True, False, ["close"]),
        (False, True, False, ["open"]),
        (False, True, True, []),
        (False, False, False, []),
    ],
)
def test_missing_watchdog_is_reported_once_and_its_return_ends_that(
    monkeypatch: pytest.MonkeyPatch, is_present: bool, is_overdue: bool, fired: bool, did: list[str]
) -> None:
    now = timezone.now()
    done: list[Any] = []
    seen: list[float] = []
    status = SimpleNamespace(last_seen_at=now, is_present=is_present, is_overdue=is_overdue)
    monkeypatch.setattr(watchdog, "update", lambda moment: status if moment == now else None)
    monkeypatch.setattr(watchdog, "explain", lambda of: "Gone." if of is status else "")
    monkeypatch.setattr(metrics, "record_watchdog_seen", seen.append)
    monkeypatch.setattr(
        pipeline, "is_firing", lambda name, *, subject: fired and (name, subject) == WATCHDOG_ABSENT
    )
    monkeypatch.setattr(
        pipeline, "close_alert", lambda name, *, subject: done.append(("close", name, subject, {}))
    )
    monkeypatch.setattr(
        pipeline, "open_alert", lambda name, *, subject, **more: done.append(("open", name, subject, more))
    )
    pipeline.check_watchdog(now)
    more = {"severity": Severity.CRITICAL, "summary": "Gone."}
    assert done == [(what, *WATCHDOG_ABSENT, more if what == "open" else {}) for what in did]
    assert seen == [now.timestamp()]


def test_channel_keeps_its_first_flag_until_it_delivers() -> None:
    refused = Rejected("404 no_service", flags_channel=True)
    for reason in ("404 no_service", "403 invalid_token"):
        pipeline.note_channel_health("slack", Delivery(state="failed", reason=reason), refused)
    assert Channel.objects.get(pk="slack").flag_reason == "404 no_service"
    episode = Episode.objects.get()
    assert (episode.labels["subject"], episode.status) == ("slack", "firing")
    pipeline.note_channel_health("slack", Delivery(state="delivered"), Delivered())
    assert Channel.objects.get(pk="slack").flagged_at is None
    assert Episode.objects.get().status == "resolved"
