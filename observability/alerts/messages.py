"""One-off messages from code, through the same outbox as every alert."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from core.request_id import current_request_id
from core.scrubbing import scrub, scrub_text
from observability.alerts.delivery import doorbell, outbox
from observability.alerts.errors import UnknownChannel, UnknownSeverity
from observability.alerts.intake.payload import ALERTNAME_LIMIT, clean, shorten
from observability.models import Delivery, Episode, EpisodeEvent
from observability.notifiers import registry


def send_alert(
    message: str = "",
    *,
    summary: str = "",
    severity: str = "info",
    context: Mapping[str, Any] | None = None,
    channels: Iterable[str] | None = None,
) -> Episode:
    """Records a one-off message and plans its deliveries.

    `message` and `summary` mean the same. `severity`: critical, error, warning or info; it decides the
    channels (ALERT_ROUTES) unless `channels` names them. `context`: a few values shown with it. Secrets and
    personal data in both are hidden before they are stored.
    Raises UnknownSeverity, UnknownChannel, or ValueError for an empty message.
    """
    text = shorten(clean(scrub_text(str(message or summary)))).strip()
    if not text:
        raise ValueError("An alert needs a message.")
    wanted = channels_for(severity, channels)
    with transaction.atomic():
        not_routed = Episode.NotNotified.SEVERITY_NOT_ROUTED if channels is None and not wanted else ""
        episode = create_notice(text, severity, context or {}, not_notified=not_routed)
        outbox.plan(episode, Delivery.Kind.TRIGGER, wanted)
        doorbell.ring_on_commit(wanted)
    return episode


def channels_for(severity: str, channels: Iterable[str] | None) -> tuple[str, ...]:
    """The channels named, or those of the severity's route."""
    if severity not in settings.ALERT_ROUTES:
        raise UnknownSeverity(severity, tuple(settings.ALERT_ROUTES))
    wanted = tuple(settings.ALERT_ROUTES[severity] if channels is None else channels)
    for channel in wanted:
        if channel not in registry.NOTIFIERS:
            raise UnknownChannel(channel, tuple(registry.NOTIFIERS))
    return wanted


def create_notice(text: str, severity: str, context: Mapping[str, Any], *, not_notified: str = "") -> Episode:
    """The episode of a one-off message, with the first row of its timeline."""
    now = timezone.now()
    fingerprint = uuid.uuid4().hex
    episode = Episode.objects.create(
        fingerprint=fingerprint,
        starts_at=now,
        status=Episode.Status.NOTICE,
        severity=severity,
        alertname=text[:ALERTNAME_LIMIT],
        summary=text,
        labels={clean(str(key)): shorten(clean(str(value))) for key, value in scrub(context).items()},
        annotations={"summary": text},
        source=Episode.Source.CODE,
        not_notified=not_notified,
        dedup_key=f"amani-{fingerprint}",
        first_seen_at=now,
    )
    EpisodeEvent.objects.create(
        episode=episode, at=now, kind=EpisodeEvent.Kind.SENT, request_id=current_request_id()
    )
    return episode


def send_slack_alert(
    message: str = "",
    *,
    summary: str = "",
    severity: str = "info",
    context: Mapping[str, Any] | None = None,
) -> Episode:
    """`send_alert` to Slack only."""
    return send_alert(message, summary=summary, severity=severity, context=context, channels=["slack"])


def send_pagerduty_alert(
    summary: str = "",
    *,
    message: str = "",
    severity: str = "error",
    context: Mapping[str, Any] | None = None,
) -> Episode:
    """`send_alert` to PagerDuty only."""
    return send_alert(message, summary=summary, severity=severity, context=context, channels=["pagerduty"])
