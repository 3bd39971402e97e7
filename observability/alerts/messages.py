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
from observability import routes
from observability.alerts.delivery import outbox
from observability.alerts.errors import UnknownChannel, UnknownSeverity
from observability.alerts.intake.payload import ALERTNAME_LIMIT, clean, shorten
from observability.models import Delivery, Episode, EpisodeEvent
from observability.notifiers import registry
from observability.routes import Decision


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
    selects the channels, by the routes (which see `context` as labels) and ALERT_ROUTES, unless `channels`
    names them. `context` has values that are shown with the text. Secrets and personal data in text and
    context are hidden before they are stored.
    Raises UnknownSeverity, UnknownChannel, or ValueError for an empty text.
    """
    text = shorten(clean(scrub_text(str(message or summary)))).strip()
    if not text:
        raise ValueError("Give the alert a message.")
    labels = {clean(str(key)): shorten(clean(str(value))) for key, value in scrub(context or {}).items()}
    decision = decide(severity, labels, channels)
    with transaction.atomic():
        episode = create_notice(text, severity, labels, decision, is_routed=channels is None)
        outbox.plan(episode, Delivery.Kind.TRIGGER, outbox.channels_of(episode, Delivery.Kind.TRIGGER))
    return episode


def decide(severity: str, labels: Mapping[str, str], channels: Iterable[str] | None) -> Decision:
    """Returns the given channels, or what the routes say of such a message.

    Raises UnknownSeverity, UnknownChannel.
    """
    if severity not in settings.ALERT_ROUTES:
        raise UnknownSeverity(severity, tuple(settings.ALERT_ROUTES))
    if channels is None:
        decision = routes.current().decide(severity, labels, timezone.now())
    else:
        decision = Decision(None, tuple(channels))
    for channel in decision.channels:
        if channel not in registry.NOTIFIERS:
            raise UnknownChannel(channel, tuple(registry.NOTIFIERS))
    return decision


def create_notice(
    text: str, severity: str, labels: Mapping[str, str], decision: Decision, *, is_routed: bool
) -> Episode:
    """Creates the episode of a one-off message, with the first event of its timeline.

    `is_routed`: whether the routes decided, and not the caller.
    """
    not_notified = decision.reason_not_to_notify
    if not_notified and not is_routed:
        not_notified = Episode.NotNotified.NO_CHANNEL.value
    now = timezone.now()
    fingerprint = uuid.uuid4().hex
    episode = Episode.objects.create(
        fingerprint=fingerprint,
        starts_at=now,
        status=Episode.Status.NOTICE,
        severity=severity,
        alertname=text[:ALERTNAME_LIMIT],
        summary=text,
        labels=dict(labels),
        annotations={"summary": text},
        source=Episode.Source.CODE,
        not_notified=not_notified,
        channels=list(decision.channels),
        route_id=decision.route_id,
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
