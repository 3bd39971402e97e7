"""Believable alerts to look at in development. None is ever sent: every delivery is finished."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from observability import severities
from observability.alerts.delivery.outbox import priority_of
from observability.alerts.episodes import retire_latest
from observability.alerts.intake.routing import reason_not_to_notify
from observability.models import Attempt, Delivery, Episode, EpisodeEvent, Receipt

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser

State = Delivery.State
Kind = Delivery.Kind
TOLD_BY_BOTH = {"pagerduty": State.DELIVERED, "slack": State.DELIVERED}
ANSWERS = {
    ("slack", State.DELIVERED): (200, "ok", 143),
    ("pagerduty", State.DELIVERED): (202, '{"status":"success","message":"Event processed"}', 212),
    ("pagerduty", State.FAILED): (400, '{"status":"invalid event","errors":["Invalid routing key"]}', 187),
    ("slack", State.DEAD): (503, "upstream connect error or disconnect/reset before headers", 10_000),
}
REASONS = {
    State.FAILED: '400 {"status":"invalid event","errors":["Invalid routing key"]}',
    State.DEAD: "Given up: 503 upstream connect error or disconnect/reset before headers",
}


@dataclass(frozen=True)
class Story:
    """One alert of the demo. Times are minutes before now."""

    alertname: str
    severity: str
    summary: str
    began: int
    lasted: int | None = None  # None: still firing
    labels: dict[str, str] = field(default_factory=dict)
    description: str = ""
    expression: str = ""
    told: dict[str, State] = field(default_factory=dict)
    acknowledged: int | None = None
    notes: tuple[tuple[int, str], ...] = ()


STORIES = (
    Story(
        "HighErrorRate",
        "critical",
        "6.3% of requests fail",
        began=6 * 24 * 60 + 211,
        lasted=17,
        labels={"job": "amani", "service": "amani", "endpoint": "/api/v1/escrows/{id}/release"},
        description="6.3% of the requests of the last 5 minutes got a 5xx status (threshold 5%).",
        told=TOLD_BY_BOTH,
    ),
    Story(
        "ApplicationDown",
        "critical",
        "Amani does not answer on web-1",
        began=3 * 24 * 60 + 95,
        lasted=6,
        labels={"job": "amani", "service": "amani", "instance": "web-1:8000"},
        description="Prometheus could not reach web-1:8000 for 2 minutes.",
        told={"pagerduty": State.DELIVERED, "slack": State.DEAD},
        acknowledged=3 * 24 * 60 + 92,
    ),
    Story(
        "HighResponseTime",
        "warning",
        "The slowest 5% of requests take 1.9 s",
        began=26 * 60,
        lasted=38,
        labels={"job": "amani", "service": "amani"},
        description="The 95th percentile of the last 5 minutes is 1.9 s (threshold 1 s).",
        told={"slack": State.DELIVERED},
        acknowledged=26 * 60 - 9,
    ),
    Story(
        "DiskSpaceLow",
        "warning",
        "8% of the disk is free on web-2",
        began=185,
        labels={"job": "node", "instance": "web-2:9100", "mountpoint": "/", "device": "/dev/nvme0n1p1"},
        description="8% of / is free (threshold 10%). At the present rate it is full in 31 hours.",
        expression="node_filesystem_avail_bytes / node_filesystem_size_bytes < 0.1",
        told={"slack": State.DELIVERED},
    ),
    Story(
        "DatabaseConnectionIssues",
        "critical",
        "92 of 100 database connections are in use",
        began=47,
        labels={"job": "amani", "service": "amani", "instance": "db-1:5432"},
        description="92 of 100 connections are in use for more than 5 minutes. New requests will soon wait.",
        expression="db_connections_active > 80",
        told=TOLD_BY_BOTH,
        acknowledged=41,
        notes=((33, "A report holds 60 connections; asked finance to stop it."),),
    ),
    Story(
        "HighErrorRate",
        "critical",
        "11.8% of requests fail",
        began=12,
        labels={"job": "amani", "service": "amani", "endpoint": "/api/v1/escrows/{id}/release"},
        description="11.8% of the requests of the last 5 minutes got a 5xx status (threshold 5%).",
        expression='sum(rate(http_requests_total{status=~"5.."}[5m]))'
        " / sum(rate(http_requests_total[5m])) > 0.05",
        told={"pagerduty": State.FAILED, "slack": State.DELIVERED},
    ),
    Story(
        "PayoutQueueStuck",
        "error",
        "No payout has left the queue for 20 minutes",
        began=21,
        labels={"severity": "blocker", "service.name": "payouts", "service.namespace": "payments"},
        description="214 payouts wait; the oldest has waited for 24 minutes.",
        told={"slack": State.DELIVERED},
    ),
    Story(
        "CertificateExpires",
        "info",
        "The certificate of amani.example expires in 21 days",
        began=9 * 60,
        labels={"job": "blackbox", "instance": "https://amani.example"},
    ),
)
STORM_BEGAN = 29 * 60
STORM = tuple(f"web-{number}:9100" for number in range(1, 9))


@transaction.atomic
def seed_alerts(operator: AbstractBaseUser) -> None:
    """Alerts that `operator` has dealt with, or not yet."""
    now = timezone.now()
    for story in (story for story in STORIES if story.began > STORM_BEGAN):
        tell(story, operator, now)
    tell_storm(now)
    for story in (story for story in STORIES if story.began < STORM_BEGAN):
        tell(story, operator, now)
    tell_notice(now)
    Receipt.objects.create(
        received_at=now - timedelta(minutes=64),
        outcome=Receipt.Outcome.FAILED,
        reason='"version" is \'3\', expected "4" (Alertmanager webhook).',
        remote_address="10.0.3.17",
        **body_of({"version": "3", "receiver": "amani", "alerts": [{"status": "firing", "labels": {}}]}),
    )


def tell(story: Story, operator: AbstractBaseUser, now: datetime) -> None:
    began = now - timedelta(minutes=story.began)
    ended = began + timedelta(minutes=story.lasted) if story.lasted is not None else None
    episode = create_episode(story, began, ended)
    receipt = create_receipt([episode], began + timedelta(seconds=2), "firing")
    append(episode, EpisodeEvent.Kind.FIRED, receipt.received_at, receipt=receipt)
    for channel, state in story.told.items():
        create_delivery(episode, channel, Kind.TRIGGER, state, receipt.received_at)
    if story.acknowledged is not None:
        acknowledge(episode, operator, now - timedelta(minutes=story.acknowledged))
    for minutes, text in story.notes:
        append(episode, EpisodeEvent.Kind.NOTE, now - timedelta(minutes=minutes), actor=operator, text=text)
    if ended is not None:
        receipt = create_receipt([episode], ended + timedelta(seconds=3), "resolved")
        append(episode, EpisodeEvent.Kind.RESOLVED, receipt.received_at, receipt=receipt)
        for channel, state in story.told.items():
            if state == State.DELIVERED:
                create_delivery(episode, channel, Kind.RESOLVE, state, receipt.received_at)


def tell_storm(now: datetime) -> None:
    """Many alerts at once, told in one message."""
    at = now - timedelta(minutes=STORM_BEGAN)
    digest = create_delivery(None, "slack", Kind.DIGEST, State.DELIVERED, at)
    stories = [
        Story(
            "NodeDown",
            "warning",
            f"{instance} does not answer",
            began=STORM_BEGAN,
            labels={"instance": instance},
        )
        for instance in STORM
    ]
    episodes = [create_episode(story, at, at + timedelta(minutes=4)) for story in stories]
    receipt = create_receipt(episodes, at, "firing")
    for episode in episodes:
        append(episode, EpisodeEvent.Kind.FIRED, at, receipt=receipt)
        append(episode, EpisodeEvent.Kind.RESOLVED, at + timedelta(minutes=4))
        create_delivery(episode, "slack", Kind.TRIGGER, State.DELIVERED, at, digest=digest)


def tell_notice(now: datetime) -> None:
    at = now - timedelta(hours=5)
    text = "The payout file of 14:00 is late"
    episode = Episode.objects.create(
        fingerprint=fingerprint_of(text),
        starts_at=at,
        first_seen_at=at,
        status=Episode.Status.NOTICE,
        severity="warning",
        alertname=text,
        summary=text,
        labels={"bank": "Equity", "batch": "2117"},
        annotations={"summary": text},
        source=Episode.Source.CODE,
        dedup_key=f"amani-{fingerprint_of(text)}",
    )
    append(episode, EpisodeEvent.Kind.SENT, at)
    create_delivery(episode, "slack", Kind.TRIGGER, State.DELIVERED, at)


def create_episode(story: Story, began: datetime, ended: datetime | None) -> Episode:
    labels = {"alertname": story.alertname, "severity": story.severity, **story.labels}
    fingerprint = fingerprint_of(json.dumps(sorted(labels.items())))
    annotations = {"summary": story.summary, "runbook_url": f"{settings.RUNBOOK_BASE_URL}/{story.alertname}/"}
    if story.description:
        annotations["description"] = story.description
    retire_latest(fingerprint)
    return Episode.objects.create(
        fingerprint=fingerprint,
        starts_at=began,
        ends_at=ended,
        resolved_at=ended + timedelta(seconds=3) if ended else None,
        status=Episode.Status.RESOLVED if ended else Episode.Status.FIRING,
        severity=story.severity,
        alertname=story.alertname,
        summary=story.summary,
        labels=labels,
        annotations=annotations,
        generator_url=graph_of(story.expression),
        severity_is_unknown=severities.read(labels["severity"]).is_unknown,
        not_notified="" if story.told else reason_not_to_notify(story.severity, labels),
        dedup_key=f"amani-{fingerprint}-{began.isoformat()}",
        first_seen_at=began + timedelta(seconds=2),
    )


def graph_of(expression: str) -> str:
    query = urlencode({"g0.expr": expression, "g0.tab": "0"})
    return f"{settings.PROMETHEUS_URL}/graph?{query}" if expression else ""


def fingerprint_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def create_receipt(episodes: list[Episode], at: datetime, status: str) -> Receipt:
    alerts = [
        {
            "status": status,
            "labels": episode.labels,
            "annotations": episode.annotations,
            "startsAt": episode.starts_at.isoformat(),
            "endsAt": episode.ends_at.isoformat() if episode.ends_at else "0001-01-01T00:00:00Z",
            "generatorURL": episode.generator_url,
            "fingerprint": episode.fingerprint,
        }
        for episode in episodes
    ]
    group_key = f'{{}}:{{alertname="{episodes[0].alertname}"}}'
    payload = {"version": "4", "groupKey": group_key, "status": status, "receiver": "amani", "alerts": alerts}
    return Receipt.objects.create(
        received_at=at,
        outcome=Receipt.Outcome.STORED,
        receiver="amani",
        group_key=group_key,
        alert_count=len(alerts),
        changed_count=len(alerts),
        remote_address="10.0.3.9",
        **body_of(payload),
    )


def body_of(payload: dict[str, Any]) -> dict[str, Any]:
    body = json.dumps(payload).encode()
    return {"body": body, "size": len(body), "request_id": hashlib.sha256(body).hexdigest()[:32]}


def create_delivery(
    episode: Episode | None,
    channel: str,
    kind: Kind,
    state: State,
    at: datetime,
    digest: Delivery | None = None,
) -> Delivery:
    severity = episode.severity if episode else "warning"
    tries = 0 if digest else 3 if state == State.DEAD else 1
    finished_at = at + timedelta(hours=6) if state == State.DEAD else at + timedelta(seconds=1)
    delivery = Delivery.objects.create(
        episode=episode,
        channel=channel,
        kind=kind,
        digest_of="trigger" if kind == Kind.DIGEST else "",
        severity=severity,
        priority=priority_of(kind, severity),
        state=state,
        reason=f"In digest {digest.pk}." if digest else REASONS.get(state, ""),
        created_at=at,
        next_attempt_at=finished_at,
        finished_at=finished_at,
        attempt_count=tries,
        digest=digest,
    )
    for number in range(1, tries + 1):
        create_attempt(delivery, number, last=number == tries)
    return delivery


def create_attempt(delivery: Delivery, number: int, *, last: bool) -> Attempt:
    status, response, milliseconds = ANSWERS[delivery.channel, State(delivery.state)]
    outcome = {State.DELIVERED: "delivered", State.FAILED: "rejected"}.get(State(delivery.state), "retry")
    at = delivery.created_at + timedelta(seconds=1) * 4 ** (number - 1)
    return Attempt.objects.create(
        delivery=delivery,
        number=number,
        at=at,
        duration_ms=milliseconds,
        outcome=outcome,
        http_status=status,
        response=response,
        next_attempt_at=None if last else at + timedelta(seconds=3) * 4 ** (number - 1),
    )


def acknowledge(episode: Episode, operator: AbstractBaseUser, at: datetime) -> None:
    episode.acknowledged_at = at
    episode.acknowledged_by_id = operator.pk
    episode.save(update_fields=["acknowledged_at", "acknowledged_by"])
    append(episode, EpisodeEvent.Kind.ACKNOWLEDGED, at, actor=operator)


def append(
    episode: Episode,
    kind: EpisodeEvent.Kind,
    at: datetime,
    *,
    actor: AbstractBaseUser | None = None,
    text: str = "",
    receipt: Receipt | None = None,
) -> None:
    EpisodeEvent.objects.create(
        episode=episode,
        kind=kind,
        at=at,
        actor_id=actor.pk if actor else None,
        text=text,
        receipt_id=receipt.pk if receipt else None,
        request_id=receipt.request_id if receipt else "",
    )
