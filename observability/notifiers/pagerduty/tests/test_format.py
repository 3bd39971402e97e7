from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from observability.notifiers.base import AlertFacts, Kind, Message
from observability.notifiers.pagerduty.format import dedup_key_for, event_for, trimmed
from observability.notifiers.tests.facts import alert, hostile_alerts, hostile_text, message

KEY = "R" * 32


def test_trigger_is_the_whole_event() -> None:
    assert event_for(message(), routing_key=KEY) == {
        "routing_key": KEY,
        "event_action": "trigger",
        "dedup_key": "amani-00112233aabbccdd-1",
        "payload": {
            "summary": "HighErrorRate (production): 7.2 % of requests fail",
            "source": "web-1:8000",
            "severity": "critical",
            "timestamp": "2025-03-01T12:00:00+00:00",
            "component": "amani",
            "group": "production",
            "class": "HighErrorRate",
            "custom_details": {
                "environment": "production",
                "description": "More than 5 % of all requests in 5 min answered 5xx.",
                "labels": {
                    "alertname": "HighErrorRate",
                    "instance": "web-1:8000",
                    "job": "amani",
                    "severity": "critical",
                },
                "annotations": {"impact": "buyers can't pay"},
                "fingerprint": "00112233aabbccdd",
            },
        },
        "client": "Amani",
        "client_url": "https://amani.example/admin/alerts/1",
        "links": [
            {"href": "https://runbooks.example/HighErrorRate", "text": "Runbook"},
            {"href": "https://amani.example/admin/alerts/1", "text": "Amani"},
            {"href": "https://prometheus.example/graph?g0.expr=a&g0.tab=1", "text": "Prometheus"},
        ],
    }


@pytest.mark.parametrize("kind", [Kind.ACKNOWLEDGE, Kind.RESOLVE])
def test_later_events_carry_only_what_finds_the_incident(kind: Kind) -> None:
    assert event_for(message(kind), routing_key=KEY) == {
        "routing_key": KEY,
        "event_action": kind.value,
        "dedup_key": "amani-00112233aabbccdd-1",
    }


def test_one_off_message_is_a_page() -> None:
    notice = alert(
        status="notice", alertname="ChannelRefused", summary="Slack refuses our webhook", labels={}
    )
    event = event_for(message(Kind.TRIGGER, notice), routing_key=KEY)

    assert event["event_action"] == "trigger"
    assert event["payload"]["summary"] == "ChannelRefused (production): Slack refuses our webhook"
    assert event["payload"]["source"] == "production"


def test_test_alert_says_so_first() -> None:
    event = event_for(message(Kind.TRIGGER, alert(is_test=True)), routing_key=KEY)

    assert event["payload"]["summary"].startswith("[TEST] HighErrorRate (production)")


@pytest.mark.parametrize(
    ("severity", "sent"),
    [
        ("critical", "critical"),
        ("error", "error"),
        ("warning", "warning"),
        ("info", "info"),
        ("Page", "critical"),
        ("minor", "warning"),
        ("whatever", "error"),
        ("", "error"),
    ],
)
def test_severity_is_one_of_pagerdutys(severity: str, sent: str) -> None:
    event = event_for(message(Kind.TRIGGER, alert(severity=severity)), routing_key=KEY)
    assert event["payload"]["severity"] == sent


def test_unknown_severity_is_marked_and_quoted() -> None:
    odd = alert(severity="error", severity_is_unknown=True, labels={"severity": " block\ner", "job": "amani"})
    payload = event_for(message(Kind.TRIGGER, odd), routing_key=KEY)["payload"]

    assert payload["severity"] == "error"
    assert payload["summary"] == "HighErrorRate (production, severity unknown): 7.2 % of requests fail"
    assert payload["custom_details"]["severity_unknown"] == "block er"


def test_an_escalation_says_so_in_its_summary() -> None:
    payload = event_for(message(Kind.TRIGGER, alert(unacknowledged_minutes=15)), routing_key=KEY)["payload"]
    assert payload["summary"] == (
        "HighErrorRate (production, not acknowledged for 15 min): 7.2 % of requests fail"
    )


def test_annotations_that_are_said_elsewhere_are_not_repeated_whatever_they_are_called() -> None:
    annotations = {
        "title": "7.2 % of requests fail",
        "message": "More than 5 % of all requests in 5 min answered 5xx.",
        "runbook": "https://runbooks.example/HighErrorRate",
        "impact": "buyers can't pay",
    }
    event = event_for(message(Kind.TRIGGER, alert(annotations=annotations)), routing_key=KEY)

    assert event["payload"]["custom_details"]["annotations"] == {"impact": "buyers can't pay"}


def test_key_of_255_characters_is_kept() -> None:
    assert dedup_key_for("k" * 255) == "k" * 255


@pytest.mark.parametrize("key", ["k" * 256, "😀" * 128, "a\x00b", "a\ud800", "", " a"])
def test_key_that_pagerduty_could_not_take_is_hashed_the_same_each_time(key: str) -> None:
    sent = {
        event_for(message(kind, alert(dedup_key=key)), routing_key=KEY)["dedup_key"]
        for kind in list(Kind)[:3]
    }

    assert sent == {dedup_key_for(key)}
    assert len(dedup_key_for(key)) == 64


def test_long_summary_ends_with_what_was_cut() -> None:
    event = event_for(message(Kind.TRIGGER, alert(alertname="Name", summary="s" * 5000)), routing_key=KEY)

    kept = event["payload"]["summary"].removeprefix("Name (production): ").index("…")
    assert (
        event["payload"]["summary"]
        == "Name (production): " + "s" * kept + f"… ({5000 - kept} more characters)"
    )
    assert 1000 <= len(event["payload"]["summary"]) <= 1024


def test_forged_links_are_left_out() -> None:
    forged = alert(runbook_url="javascript:alert(1)", console_url="https://a@evil.example", generator_url="")
    event = event_for(message(Kind.TRIGGER, forged), routing_key=KEY)

    assert event["links"] == []
    assert "client_url" not in event


def test_one_huge_label_does_not_push_out_the_others() -> None:
    labels = {"a_huge": "x" * 300_000} | {f"small_{number}": "y" for number in range(100)}
    kept = event_for(message(Kind.TRIGGER, alert(labels=labels)), routing_key=KEY)["payload"][
        "custom_details"
    ]["labels"]

    assert [kept[f"small_{number}"] for number in range(100)] == ["y"] * 100
    assert kept["a_huge"].startswith("xxxx")
    assert kept["a_huge"].endswith(" more characters)")
    assert len(kept["a_huge"]) <= 20_000


def test_what_does_not_fit_is_counted() -> None:
    kept = trimmed({f"label_{number:03d}": "v" * 1000 for number in range(500)}, 50_000)

    shown = len(kept) - 1
    assert 45 <= shown <= 50
    assert kept["…"] == f"and {500 - shown} more, in Amani"
    assert len(json.dumps(kept)) <= 50_000


def test_five_hundred_huge_labels_stay_below_512_000_bytes() -> None:
    huge = {f"label_{number}": '"漢😀\\' * 25_000 for number in range(500)}
    event = event_for(
        message(Kind.TRIGGER, alert(labels=huge, annotations=huge, description="漢" * 10**6)), routing_key=KEY
    )

    assert len(json.dumps(event).encode()) <= 512_000


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(kind=st.sampled_from(list(Kind)[:3]), facts=hostile_alerts, environment=hostile_text)
def test_no_alert_breaks_pagerdutys_limits(kind: Kind, facts: AlertFacts, environment: str) -> None:
    event = event_for(Message(kind, (facts,), environment), routing_key=KEY)

    assert len(json.dumps(event).encode()) <= 512_000
    assert len(json.dumps(event, ensure_ascii=False).encode()) <= 512_000  # no lone surrogate either
    assert 1 <= len(event["dedup_key"]) <= 255
    if kind is Kind.TRIGGER:
        payload = event["payload"]
        assert 1 <= len(payload["summary"].encode("utf-16-le")) // 2 <= 1024
        assert payload["source"].strip()
        assert payload["severity"] in ("critical", "error", "warning", "info")
        assert all(link["href"].startswith(("http://", "https://")) for link in event["links"])
        assert not any(
            character in json.dumps(event, ensure_ascii=False) for character in "\u202e\u2067\u200b\x00\x1b"
        )
