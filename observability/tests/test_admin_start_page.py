"""The start page: what fires, what is undelivered, whether the pipeline is alive."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from observability.admin import overview
from observability.models import Channel, Heartbeat
from observability.notifiers import registry
from observability.tests import history

pytestmark = pytest.mark.django_db


@pytest.fixture
def both_on(settings: Any) -> None:
    settings.SLACK_WEBHOOK_URL = "https://hooks.slack.example/services/T/B/x"
    settings.PAGERDUTY_API_KEY = "R0123456789ABCDEFGHIJKLMNOPQRSTU"


def signs() -> dict[str, tuple[str, str]]:
    return {sign.name: (sign.tone, sign.text) for sign in overview.signs_of_life(timezone.now())}


def banner_titles() -> list[str]:
    return [title for _tone, title, *_ in overview.overview()["banners"]]


def test_worst_alerts_come_first_and_the_oldest_of_them_first() -> None:
    history.episode(90, severity="warning")
    young = history.episode(1)
    old = history.episode(60)
    error = history.episode(5, severity="error")
    history.episode(70, status="resolved")
    firing = [alert for alert, _told in overview.firing_alerts()]
    assert firing[:3] == [old, young, error]
    assert len(firing) == 4


def test_at_most_ten_alerts_are_shown_the_worst_of_all() -> None:
    for number in range(1, 9):
        history.episode(number)
        history.episode(number + 100, severity="info")
    severities = [alert.severity for alert, _told in overview.firing_alerts()]
    assert severities == ["critical"] * 8 + ["info"] * 2


def test_page_counts_what_fires_and_links_to_it(sign_in: Callable[..., Client]) -> None:
    history.episode(1)
    history.episode(2)
    history.episode(3, severity="warning")
    html = sign_in("viewer").get("/admin/").content.decode()
    words = " ".join(html.split())
    assert '<span class="am-tile-count">2</span> <span class="am-tile-name">critical</span>' in words
    assert "?status__exact=firing&amp;severity__exact=critical" in html
    assert '<meta http-equiv="refresh" content="20; url=/admin/?renewed">' in html


def test_signs_of_life_before_anything_happened() -> None:
    assert signs() == {
        "Worker": ("bad", "never seen"),
        "Watchdog": ("quiet", "not received yet"),
        "Prometheus": ("quiet", "never answered"),
        "Last receipt": ("quiet", "none yet"),
    }


def test_signs_of_life_of_a_healthy_pipeline() -> None:
    Heartbeat.beat(Heartbeat.WORKER)
    Heartbeat.beat(Heartbeat.WATCHDOG)
    Heartbeat.beat(Heartbeat.PROMETHEUS)
    history.receipt()
    assert signs() == {
        "Worker": ("good", "alive"),
        "Watchdog": ("good", "arrives"),
        "Prometheus": ("good", "answers"),
        "Last receipt": ("good", "stored"),
    }


def test_silence_is_bad_and_says_how_long() -> None:
    Heartbeat.beat(Heartbeat.WORKER, timezone.now() - timedelta(seconds=61))
    Heartbeat.beat(Heartbeat.WATCHDOG, timezone.now() - timedelta(minutes=11))
    history.receipt("failed", b"{")
    assert signs() == {
        "Worker": ("bad", "silent for 1 min"),
        "Watchdog": ("bad", "silent for 11 min"),
        "Prometheus": ("quiet", "never answered"),
        "Last receipt": ("bad", "could not be read"),
    }


def test_prometheus_that_no_longer_answers_is_bad_and_says_what_follows() -> None:
    Heartbeat.beat(Heartbeat.WORKER)
    Heartbeat.beat(Heartbeat.PROMETHEUS, timezone.now() - timedelta(minutes=2))
    [sign] = [sign for sign in overview.signs_of_life(timezone.now()) if sign.name == "Prometheus"]
    assert (sign.tone, sign.text) == ("bad", "silent for 2 min")
    assert sign.detail == "Resolves stay unconfirmed until it answers (PROMETHEUS_URL)."


def never_received(seconds: float) -> None:
    """Stores a Watchdog that has not arrived in `seconds` of watching since the installation."""
    Heartbeat.objects.create(name=Heartbeat.WATCHDOG, last_seen_at=None, silent_seconds=seconds)


def test_watchdog_that_was_never_received_is_a_fault_with_what_to_check(
    sign_in: Callable[..., Client], settings: Any
) -> None:
    never_received(settings.WATCHDOG_TIMEOUT_SECONDS + 1)
    assert signs()["Watchdog"] == ("bad", "never received")
    html = sign_in("viewer").get("/admin/").content.decode()
    for to_check in ("ALERT_WEBHOOK_TOKEN", "the route of Watchdog", "rule Watchdog", "/runbooks/Watchdog/"):
        assert to_check in html


def test_watchdog_that_was_never_received_is_no_fault_in_the_first_minutes(settings: Any) -> None:
    never_received(settings.WATCHDOG_TIMEOUT_SECONDS)
    assert signs()["Watchdog"] == ("quiet", "not received yet")
    settings.WATCHDOG_FIRST_TIMEOUT_SECONDS = 60  # then it is already reported
    assert signs()["Watchdog"] == ("bad", "never received")


def test_watchdog_is_expected_after_a_pause_of_amani_while_the_worker_watches() -> None:
    Heartbeat.beat(Heartbeat.WATCHDOG, timezone.now() - timedelta(hours=1))
    assert signs()["Watchdog"] == ("bad", "silent for 1 h")
    Heartbeat.beat(Heartbeat.WORKER)
    assert signs()["Watchdog"] == ("quiet", "expected")
    Heartbeat.objects.filter(pk=Heartbeat.WATCHDOG).update(silent_seconds=241)
    assert signs()["Watchdog"] == ("bad", "silent for 1 h")


def test_watchdog_that_alertmanager_reports_as_ended_is_silent() -> None:
    Heartbeat.beat(Heartbeat.WORKER)
    Heartbeat.beat(Heartbeat.WATCHDOG, timezone.now() - timedelta(seconds=70))
    Heartbeat.end(Heartbeat.WATCHDOG, timezone.now())
    assert signs()["Watchdog"] == ("bad", "silent for 1 min")


@pytest.mark.usefixtures("both_on")
def test_nothing_is_said_when_all_is_well() -> None:
    assert banner_titles() == []


def test_integrations_that_are_off_are_named(settings: Any) -> None:
    settings.SLACK_WEBHOOK_URL = settings.PAGERDUTY_API_KEY = settings.ALERT_WEBHOOK_TOKEN = ""
    assert banner_titles() == ["The webhook is closed", "PagerDuty and Slack are off"]
    settings.PAGERDUTY_API_KEY = "R" * 32
    assert banner_titles() == ["The webhook is closed", "Slack is off"]
    assert overview.off_text([registry.get("slack")]) == (
        "No notification is sent there until SLACK_WEBHOOK_URL is set."
    )


@pytest.mark.usefixtures("both_on")
def test_channel_that_refuses_is_shown_with_its_reason(sign_in: Callable[..., Client]) -> None:
    Channel.objects.update_or_create(
        pk="pagerduty", defaults={"flagged_at": timezone.now(), "flag_reason": "400 Invalid routing key"}
    )
    assert banner_titles() == ["PagerDuty rejects messages"]
    html = sign_in("viewer").get("/admin/").content.decode()
    assert "400 Invalid routing key" in html
    assert "Rejects messages" in html


@pytest.mark.usefixtures("both_on")
def test_receipt_needs_attention_until_it_was_processed_again() -> None:
    receipt = history.receipt("failed", b"{")
    assert banner_titles() == ["Receipts need attention"]
    receipt.reprocessed_at = timezone.now()
    receipt.save(update_fields=["reprocessed_at"])
    assert banner_titles() == []


@pytest.mark.usefixtures("both_on")
def test_firing_alerts_of_unknown_severity_are_said_and_marked(sign_in: Callable[..., Client]) -> None:
    history.episode(1, status="resolved", severity_is_unknown=True)
    assert banner_titles() == []
    history.episode(2, severity="error", severity_is_unknown=True)
    assert banner_titles() == ["1 firing alert has an unknown severity"]
    history.episode(3, severity="error", severity_is_unknown=True)
    assert banner_titles() == ["2 firing alerts have an unknown severity"]
    html = sign_in("viewer").get("/admin/").content.decode()
    assert "?status__exact=firing&amp;severity_label=unknown" in html
    assert html.count("Severity unknown</span>") == 2


@pytest.mark.usefixtures("both_on")
def test_alerts_that_alertmanager_left_out_are_said_for_a_day(sign_in: Callable[..., Client]) -> None:
    receipt = history.receipt(truncated_alerts=37)
    assert banner_titles() == ["Alertmanager left out 37 alerts of one group"]
    viewer = sign_in("viewer")
    assert "/admin/observability/receipt/?truncated=yes" in viewer.get("/admin/").content.decode()
    history.receipt()
    html = viewer.get("/admin/observability/receipt/?truncated=yes").content.decode()
    assert html.count("37 left out by Alertmanager") == html.count(f"receipt {receipt.pk}<") == 1
    assert "receipt/" + str(receipt.pk + 1) not in html

    history.receipt(truncated_alerts=37, received_at=timezone.now() - timedelta(hours=25))
    type(receipt).objects.filter(pk=receipt.pk).delete()
    assert banner_titles() == []


def test_channels_say_what_waits_and_what_went_wrong_lately() -> None:
    shown = history.episode()
    planned = timezone.now() - timedelta(minutes=3)
    history.delivery(shown, "slack", "pending", created_at=planned)
    failed = history.delivery(shown, "pagerduty", "failed")
    history.delivery(history.episode(2), "pagerduty", "dead", created_at=timezone.now() - timedelta(hours=25))
    pagerduty, slack = overview.channel_states(timezone.now())
    assert (slack.waiting, slack.oldest, slack.failed) == (1, planned, 0)
    assert (pagerduty.waiting, pagerduty.oldest, pagerduty.failed) == (0, None, 1)
    history.delivery(shown, "pagerduty", resend_of=failed)
    assert overview.channel_states(timezone.now())[0].failed == 0


def test_errors_and_traces_that_go_nowhere_are_said_quietly(
    sign_in: Callable[..., Client], settings: Any
) -> None:
    settings.SENTRY_DSN, settings.TRACING_ENABLED = "", False
    assert [(sign.tone, sign.text) for sign in overview.overview()["integrations"]] == [("quiet", "Off")] * 2
    html = sign_in("viewer").get("/admin/").content.decode()
    assert "Errors are in the log only: no SENTRY_DSN." in html
    assert "No request is traced: no TRACING_ENABLED." in html


@pytest.mark.parametrize(
    ("rate", "words"), [(0.1, "at a rate of 0.1"), (None, "as set in OTEL_TRACES_SAMPLER")]
)
def test_errors_and_traces_say_where_they_go(rate: float | None, words: str, settings: Any) -> None:
    settings.SENTRY_DSN, settings.ENVIRONMENT = "https://key@sentry.example/1", "staging"
    settings.TRACING_ENABLED, settings.TRACING_EXPORTER = True, "otlp"
    settings.TRACING_SAMPLE_RATE = rate
    assert [
        (sign.name, sign.tone, sign.text, sign.detail) for sign in overview.overview()["integrations"]
    ] == [
        ("Sentry", "good", "On", "Errors go there as staging."),
        ("Tracing", "good", "On", f"Sampled {words}; exporter otlp."),
    ]


def test_a_malformed_dsn_is_bad(settings: Any) -> None:
    settings.SENTRY_DSN = "https://sentry.example/1"
    sign = overview.errors_sign()
    assert (sign.tone, sign.text) == ("bad", "Off")
    assert sign.detail.startswith("SENTRY_DSN is malformed: ")
