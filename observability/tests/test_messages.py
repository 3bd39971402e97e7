from typing import Any

import pytest
from django.db import transaction

from observability.alerts import send_alert, send_pagerduty_alert, send_slack_alert
from observability.alerts.errors import UnknownChannel, UnknownSeverity
from observability.models import Delivery, Episode, EpisodeEvent

pytestmark = pytest.mark.django_db


def planned() -> list[tuple[str, str]]:
    return sorted(Delivery.objects.values_list("channel", "severity"))


def test_slack_alert_of_the_runbook_is_planned() -> None:
    episode = send_slack_alert(
        message="Test alert from Amani Backend", severity="info", context={"test": "value"}
    )
    assert (episode.status, episode.source, episode.summary) == (
        "notice",
        "code",
        "Test alert from Amani Backend",
    )
    assert episode.labels == {"test": "value"}
    assert planned() == [("slack", "info")]
    assert EpisodeEvent.objects.get().kind == "sent"


def test_pagerduty_alert_of_the_runbook_is_planned() -> None:
    send_pagerduty_alert(summary="Test alert from Amani Backend", severity="warning")
    assert planned() == [("pagerduty", "warning")]


def test_without_channels_the_severity_decides() -> None:
    send_alert("Ledger is out of balance", severity="critical")
    assert planned() == [("pagerduty", "critical"), ("slack", "critical")]


@pytest.mark.parametrize(
    ("severity", "channels", "reason"),
    [
        ("info", None, "severity_not_routed"),
        ("info", ["slack"], ""),
        ("info", [], "no_channel"),
        ("error", None, ""),
    ],
)
def test_message_that_no_channel_takes_says_why(
    severity: str, channels: list[str] | None, reason: str
) -> None:
    assert send_alert("Just so that it is known", severity=severity, channels=channels).not_notified == reason


def test_alert_of_a_transaction_that_is_rolled_back_is_not_sent(
    rings: list[str], django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True), transaction.atomic():
        send_alert("Never happened", severity="error")
        transaction.set_rollback(True)
    assert not Episode.objects.exists()
    assert not Delivery.objects.exists()
    assert rings == []


def test_same_message_twice_is_two_messages() -> None:
    send_slack_alert("again")
    send_slack_alert("again")
    assert Delivery.objects.count() == 2


def test_what_postgresql_cannot_store_is_cleaned() -> None:
    episode = send_slack_alert("nul\0 surrogate\ud800", context={"k\0": "v" * 10_000, "n": 7})
    assert episode.summary == "nul surrogate\N{REPLACEMENT CHARACTER}"
    assert episode.labels["n"] == "7"
    assert len(episode.labels["k"]) == 8192


def test_unknown_severity_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UnknownSeverity, match="'fatal': use one of critical, error, warning, info"):
        send_alert("x", severity="fatal")
    assert not Episode.objects.exists()


def test_unknown_channel_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UnknownChannel, match="'pigeon'"):
        send_alert("x", channels=["pigeon"])
    assert not Episode.objects.exists()


def test_empty_message_is_refused() -> None:
    with pytest.raises(ValueError, match="Give the alert a message"):
        send_alert("  ")
    assert not Episode.objects.exists()
