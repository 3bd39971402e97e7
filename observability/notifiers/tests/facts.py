"""Alerts for the notifiers' tests: an ordinary one, and hostile ones by Hypothesis."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

from observability.notifiers.base import AlertFacts, Kind, Message

START = datetime(2025, 3, 1, 12, 0, 0, tzinfo=UTC)
END = datetime(2025, 3, 1, 12, 5, 7, tzinfo=UTC)

ORDINARY: dict[str, Any] = {
    "alertname": "HighErrorRate",
    "severity": "critical",
    "status": "firing",
    "summary": "7.2 % of requests fail",
    "description": "More than 5 % of all requests in 5 min answered 5xx.",
    "labels": {
        "alertname": "HighErrorRate",
        "severity": "critical",
        "instance": "web-1:8000",
        "job": "amani",
    },
    "annotations": {"summary": "7.2 % of requests fail", "impact": "buyers can't pay"},
    "starts_at": START,
    "ends_at": None,
    "fingerprint": "00112233aabbccdd",
    "dedup_key": "amani-00112233aabbccdd-1",
    "generator_url": "https://prometheus.example/graph?g0.expr=a&g0.tab=1",
    "runbook_url": "https://runbooks.example/HighErrorRate",
    "console_url": "https://amani.example/admin/alerts/1",
}


def alert(**changes: Any) -> AlertFacts:
    return AlertFacts(**(ORDINARY | changes))


def message(kind: Kind = Kind.TRIGGER, *alerts: AlertFacts, **changes: Any) -> Message:
    return Message(kind, alerts or (alert(),), **({"environment": "production"} | changes))


def storm(count: int, **changes: Any) -> tuple[AlertFacts, ...]:
    """`count` alerts of one rule, eight labels each."""
    return tuple(alert(**_storm_alert(number), **changes) for number in range(count))


def _storm_alert(number: int) -> dict[str, Any]:
    instance = f"host-{number:05d}.prod.example.internal:9100"
    varying = {"instance": instance, "pod": f"api-{number * 7919 % 99991:x}-{number:x}"}
    constant = {"job": "api", "region": "eu-central-1", "cluster": "c1", "team": "payments"}
    return {
        "labels": {"alertname": "HighErrorRate", "severity": "critical", **varying, **constant},
        "fingerprint": f"{number:016x}",
    }


NASTY = (
    "<!channel>",
    "<!here|here>",
    "<@U012AB3CD>",
    "<!subteam^S012>",
    "<https://evil.example|Runbook>",
    "&lt;!channel&gt;",
    "`",
    "```",
    "*bold*",
    "_it_",
    "~gone~",
    ":boom:",
    "> quoted",
    "\N{RIGHT-TO-LEFT OVERRIDE}",
    "\N{RIGHT-TO-LEFT ISOLATE}",
    "\N{ZERO WIDTH SPACE}",
    "\x00",
    "\x1b[31m",
    "\x85",
    "\N{LINE SEPARATOR}",
    "\ud800",
    "\udfff",
    "\uffff",
    "e" + "\N{COMBINING ACUTE ACCENT}" * 50,
    "👩\N{ZERO WIDTH JOINER}👩\N{ZERO WIDTH JOINER}👧",
    "🏴\U000e0067\U000e0062\U000e007f",
    "مرحبا",
    "漢字",
    "&" * 500,
    "😀" * 3000,
    "<" * 3000,
    '"\\\n' * 2000,
    "x" * 100_000,
    "漢" * 100_000,
    "https://evil.example/`|<>",
    "javascript:alert(1)",
    "https://user:password@evil.example/",
    "https://ok.example/" + "q" * 2900,
)
hostile_text = st.lists(
    st.sampled_from(NASTY) | st.text(st.characters(codec=None), max_size=20), min_size=0, max_size=6
).map("".join)
hostile_labels = st.dictionaries(hostile_text, hostile_text, max_size=8) | st.builds(
    lambda value: {f"label_{number}": value for number in range(500)}, hostile_text
)
moments = st.datetimes(min_value=datetime(1970, 1, 2), max_value=datetime(9998, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 -- Hypothesis wants bounds without a zone
hostile_alerts = st.builds(
    AlertFacts,
    alertname=hostile_text,
    severity=st.sampled_from(["critical", "error", "warning", "info"]) | hostile_text,
    status=st.sampled_from(["firing", "resolved", "notice"]),
    summary=hostile_text,
    description=hostile_text,
    labels=hostile_labels,
    annotations=hostile_labels,
    starts_at=moments,
    ends_at=st.none() | moments,
    fingerprint=hostile_text,
    dedup_key=hostile_text,
    generator_url=hostile_text,
    runbook_url=hostile_text,
    console_url=hostile_text,
    acknowledged_by=hostile_text,
    is_test=st.booleans(),
    severity_is_unknown=st.booleans(),
    unacknowledged_minutes=st.none() | st.integers(0, 10**9),
)
