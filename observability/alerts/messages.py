"""Sends one-off messages from code, through the same outbox as alerts."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from core.request_id import current_request_id
from core.scrubbing import scrub, scrub_text
from observability.alerts.delivery import outbox
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
    """Stores a one-off message and plans its deliveries. Returns its episode.

    `message` and `summary` are two names for the text. `severity` is critical, error, warning or info; it
    selects the channels (ALERT_ROUTES) unless `channels` names them. `context` has values that are shown with
    the text. Secrets and personal data in text and context are hidden before they are stored.
    Raises UnknownSeverity, UnknownChannel, or ValueError for an empty text.
    """
    text = shorten(clean(scrub_text(str(message or summary)))).strip()
    if not text:
        raise ValueError("Give the alert a message.")
    wanted = channels_for(severity, channels)
    with transaction.atomic():
        unrouted = (
            Episode.NotNotified.SEVERITY_NOT_ROUTED if channels is None else Episode.NotNotified.NO_CHANNEL
        )
        episode = create_notice(text, severity, context or {}, not_notified="" if wanted else unrouted)
        outbox.plan(episode, Delivery.Kind.TRIGGER, wanted)
    return episode


def channels_for(severity: str, channels: Iterable[str] | None) -> tuple[str, ...]:
    """Returns `channels`, or those of the severity in ALERT_ROUTES.

    Raises UnknownSeverity, UnknownChannel.
    """
    if severity not in settings.ALERT_ROUTES:
        raise UnknownSeverity(severity, tuple(settings.ALERT_ROUTES))
    wanted = tuple(settings.ALERT_ROUTES[severity] if channels is None else channels)
    for channel in wanted:
        if channel not in registry.NOTIFIERS:
            raise UnknownChannel(channel, tuple(registry.NOTIFIERS))
    return wanted


def create_notice(text: str, severity: str, context: Mapping[str, Any], *, not_notified: str = "") -> Episode:
    """Creates the episode of a one-off message, with the first event of its timeline."""
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
    """Calls `send_alert` for Slack only."""
    return send_alert(message, summary=summary, severity=severity, context=context, channels=["slack"])


def send_pagerduty_alert(
    summary: str = "",
    *,
    message: str = "",
    severity: str = "error",
    context: Mapping[str, Any] | None = None,
) -> Episode:
    """Calls `send_alert` for PagerDuty only."""
    return send_alert(message, summary=summary, severity=severity, context=context, channels=["pagerduty"])
