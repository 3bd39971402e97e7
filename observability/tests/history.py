"""A history of any length, for tests of the admin."""

from __future__ import annotations

from datetime import date, timedelta
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
    Route,
    RouteChange,
    RulesVersion,
    Silence,
    SilenceWindow,
)
from observability.rules.render import FILE
from observability.tests.payloads import alert, body
from observability.tests.rule_changes import change, shipped


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


def what_operators_set(length: int, user: Any) -> None:
    """`length` of everything that operators set, beside what is there; the last of each has a long history.

    Routes and versions of the rules cannot be deleted, so their numbers go on where they ended.
    """
    rule = shipped()
    for _ in range(length):
        change(rule, for_seconds=60, actor=user)
        window = recurring_silence(user)
        changed_route(Route.objects.count() + 1, length, user)
        rules_version(user)
    for days in reversed(range(length)):
        silence_of(window, days)
    SilenceWindow.objects.exclude(pk=window.pk).update(
        ended_at=timezone.now(), ended_by=user, ended_reason="Done."
    )


def recurring_silence(owner: Any) -> SilenceWindow:
    return SilenceWindow.objects.create(
        matchers=[{"name": "job", "value": "backup", "isRegex": False, "isEqual": True}],
        reason="Backups load the disks.",
        owner=owner,
        time_zone="Africa/Lagos",
        weekdays=[0, 4],
        begins="22:00",
        ends="06:00",
        first_on=date(2026, 1, 1),
        last_on=timezone.localdate() + timedelta(days=90),
    )


def silence_of(window: SilenceWindow, days: int) -> Silence:
    """The silence of the occurrence that began `days` days and an hour ago; that of today has not ended."""
    began = timezone.now() - timedelta(days=days, hours=1)
    return Silence.objects.create(
        matchers=window.matchers,
        reason=window.reason,
        owner=window.owner,
        created_by="Amani",
        starts_at=began,
        ends_at=began + timedelta(hours=8),
        state="expired" if days else "active",
        next_attempt_at=None,
        window=window,
        occurrence_on=began.date(),
    )


def changed_route(number: int, changes: int, actor: Any) -> Route:
    """A route with conditions and steps that was changed so often."""
    route = Route.objects.create(name=f"route {number}", position=number, channels=["slack"])
    for each in range(min(changes, 3)):
        route.matchers.create(label=f"label_{each}", values=["x"])
        route.steps.create(after_minutes=each + 1, channels=["pagerduty"])
    RouteChange.objects.bulk_create(
        RouteChange(route=route, actor=actor, reason="Fewer calls at night.", before="x", after="y")
        for _ in range(changes)
    )
    return route


def rules_version(author: Any) -> RulesVersion:
    """A version that was published, goes back to the one before it, and was replaced."""
    before = RulesVersion.objects.first()
    number = before.number + 1 if before else 1
    return RulesVersion.objects.create(
        number=number,
        state="superseded",
        author=author,
        reason="Fewer calls at night.",
        reverts_to=before,
        files={FILE: f"groups: []  # {number}\n"},
        digest=f"{number:064x}",
        rule_count=0,
        published_at=timezone.now(),
        finished_at=timezone.now(),
        next_attempt_at=None,
    )
