"""Says whether and where Amani notifies, plans deliveries, and starts their senders.

The webhook's statement (alerts/intake/ingest.py) writes its own rows, from what `decide`,
`reason_not_to_notify`, `handles` and `priority_of` say.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from django.db import transaction
from django.utils import timezone

from core.doorbell import Doorbell
from observability import routes
from observability.models import Delivery, Episode
from observability.models.episode import Severity
from observability.notifiers import registry
from observability.notifiers.base import Kind
from observability.routes import Decision, Routes

PRIORITY_PAGE = 0
PRIORITY_TRIGGER = 1
PRIORITY_UPDATE = 5

# A ring that is lost costs a second, until beat's next sweep.
doorbell = Doorbell("observability.tasks.deliver_channel")


def sender_notifies(labels: Mapping[str, str]) -> bool:
    """Whether Alertmanager notifies Slack and PagerDuty itself, because the alert may mean that Amani
    fails."""
    return labels.get("notified_by") == "alertmanager"


def decide(severity: str, labels: Mapping[str, str], found: Routes, moment: datetime) -> Decision:
    """Returns which channels are notified of an alert: none of them when Alertmanager notifies itself."""
    return Decision(None, ()) if sender_notifies(labels) else found.decide(severity, labels, moment)


def reason_not_to_notify(labels: Mapping[str, str], decision: Decision) -> str:
    """Returns one of Episode.NotNotified; "" when the channels of the decision are notified.

    It is stored with the alert, because settings and routes may change.
    """
    if sender_notifies(labels):
        return Episode.NotNotified.SENDER_NOTIFIES.value
    return decision.reason_not_to_notify


def route_again(episode: Episode, moment: datetime) -> None:
    """Decides anew who is notified of the episode. The caller saves it."""
    decision = decide(episode.severity, episode.labels, routes.current(), moment)
    episode.channels, episode.route_id = list(decision.channels), decision.route_id
    episode.not_notified = reason_not_to_notify(episode.labels, decision)


def channels_of(episode: Episode, kind: str) -> list[str]:
    """Returns the channels that were notified of the episode and whose notifier handles messages of `kind`.

    For an episode that was stored by a version without routes: those of the present routes.
    """
    if episode.channels is None:
        route_again(episode, timezone.now())
    return [name for name in episode.channels or () if handles(name, kind)]


def handles(channel: str, kind: str) -> bool:
    notifier = registry.NOTIFIERS.get(channel)
    return notifier is not None and Kind(kind) in notifier.handles


def priority_of(kind: str, severity: str) -> int:
    """Returns the priority of a delivery; the smallest is sent first."""
    if kind != Delivery.Kind.TRIGGER:
        return PRIORITY_UPDATE
    return PRIORITY_PAGE if severity == Severity.CRITICAL else PRIORITY_TRIGGER


def plan(
    episode: Episode,
    kind: Delivery.Kind,
    channels: Iterable[str],
    *,
    unacknowledged_minutes: int | None = None,
) -> None:
    """Adds a pending delivery for each channel, and starts the senders when the transaction has committed.

    `unacknowledged_minutes`: of an escalation, for how long no operator had acknowledged the alert.
    """
    planned = Delivery.objects.bulk_create(
        [
            Delivery(
                episode=episode,
                channel=channel,
                kind=kind,
                severity=episode.severity,
                round=episode.round,
                unacknowledged_minutes=unacknowledged_minutes,
                priority=priority_of(kind, episode.severity),
            )
            for channel in channels
        ]
    )
    ring_on_commit([delivery.channel for delivery in planned])


def ring_on_commit(channels: Iterable[str]) -> None:
    """Starts the senders of `channels` when the caller's transaction has committed; now if there is none."""
    wanted = tuple(channels)
    if wanted:
        transaction.on_commit(lambda: ring(wanted))


def ring(channels: Iterable[str]) -> None:
    for channel in channels:
        doorbell.ring(channel)
