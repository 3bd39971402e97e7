"""A history of any length, for tests of the admin."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.utils import timezone

from observability.models import (
    Attempt,
    Channel,
    Delivery,
    Episode,
    EpisodeEvent,
    Heartbeat,
    Receipt,
    Silence,
)
from observability.tests.payloads import alert, body


def episode(number: int = 1, **changes: Any) -> Episode:
    """A firing alert that began `number` minutes ago."""
    began = timezone.now() - timedelta(minutes=number)
    values: dict[str, Any] = {
        "fingerprint": f"{number:016x}",
        "starts_at": began,
        "status": "firing",
        "severity": "critical",
        "alertname": "HighErrorRate",
        "summary": f"Errors on web-{number}",
        "labels": {"alertname": "HighErrorRate", "instance": f"web-{number}"},
        "annotations": {"summary": f"Errors on web-{number}"},
        "dedup_key": f"amani-{number}",
        "first_seen_at": began,
    }
    if changes.get("status") == "resolved":
        values |= {"resolved_at": began + timedelta(seconds=30), "ends_at": began + timedelta(seconds=30)}
    return Episode.objects.create(**values | changes)


def delivery(about: Episode, channel: str = "slack", state: str = "delivered", **changes: Any) -> Delivery:
    finished = None if state in Delivery.UNFINISHED else timezone.now()
    values: dict[str, Any] = {
        "episode": about,
        "channel": channel,
        "kind": "trigger",
        "severity": about.severity,
        "priority": 1,
        "state": state,
        "finished_at": finished,
        "attempt_count": 1,
    }
    row = Delivery.objects.create(**values | changes)
    Attempt.objects.create(delivery=row, number=1, outcome="delivered", http_status=200, response="ok")
    return row


def receipt(outcome: str = "stored", content: bytes | None = None, **changes: Any) -> Receipt:
    content = body(alert(1)) if content is None else content
    return Receipt.objects.create(
        **{"outcome": outcome, "body": content, "size": len(content), "alert_count": 1} | changes
    )


def whole_history(length: int, user: Any) -> None:
    """`length` of everything a page may show; the last alert has a long history of its own."""
    for name in ("slack", "pagerduty"):
        Channel.objects.get_or_create(name=name)
    Heartbeat.beat(Heartbeat.WORKER)
    for number in range(1, length + 1):
        status = "firing" if number % 2 else "resolved"
        about = episode(number, status=status, acknowledged_by=user, acknowledged_at=timezone.now())
        delivery(about, "slack")
        delivery(about, "pagerduty", "failed", reason="Invalid routing key")
        EpisodeEvent.objects.create(episode=about, kind="fired", receipt_id=receipt().pk)
        digest = Delivery.objects.create(
            channel="slack", kind="digest", digest_of="trigger", severity="critical", priority=1
        )
        for _ in range(length):
            EpisodeEvent.objects.create(episode=about, kind="note", actor=user, text="looked")
        Silence.objects.create(
            matchers=[{"name": "instance", "value": f"web-{number}", "isRegex": False, "isEqual": True}],
            reason="Maintenance",
            created_by="amtool",
            starts_at=about.starts_at,
            ends_at=about.starts_at + timedelta(hours=2),
            state="active" if number % 2 else "expired",
            alertmanager_id=f"silence-{number}",
            next_attempt_at=None,
            episode=about,
        )
        delivery(about, "slack", "digested", kind="acknowledge", digest=digest)
