"""Says whether and where Amani notifies, plans deliveries, and starts their senders.

The webhook's statement (alerts/intake/ingest.py) writes its own rows, from what `reason_not_to_notify`,
`channels_for` and `priority_of` say.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from django.conf import settings
from django.db import transaction

from core.doorbell import Doorbell
from observability.models import Delivery, Episode
from observability.models.episode import Severity
from observability.notifiers import registry
from observability.notifiers.base import Kind

PRIORITY_PAGE = 0
PRIORITY_TRIGGER = 1
PRIORITY_UPDATE = 5

# A ring that is lost costs a second, until beat's next sweep.
doorbell = Doorbell("observability.tasks.deliver_channel")


def sender_notifies(labels: Mapping[str, str]) -> bool:
    """Whether Alertmanager notifies Slack and PagerDuty itself, because the alert may mean that Amani
    fails."""
    return labels.get("notified_by") == "alertmanager"


def reason_not_to_notify(severity: str, labels: Mapping[str, str]) -> str:
    """Returns one of Episode.NotNotified; "" when the channels of the severity are notified.

    It is stored with the alert, because settings may change.
    """
    if sender_notifies(labels):
        return Episode.NotNotified.SENDER_NOTIFIES.value
    return "" if settings.ALERT_ROUTES[severity] else Episode.NotNotified.SEVERITY_NOT_ROUTED.value


def channels_for(severity: str, kind: str) -> list[str]:
    """Returns the channels of the severity in ALERT_ROUTES whose notifier handles messages of `kind`."""
    return [name for name in settings.ALERT_ROUTES[severity] if Kind(kind) in registry.get(name).handles]


def priority_of(kind: str, severity: str) -> int:
    """Returns the priority of a delivery; the smallest is sent first."""
    if kind != Delivery.Kind.TRIGGER:
        return PRIORITY_UPDATE
    return PRIORITY_PAGE if severity == Severity.CRITICAL else PRIORITY_TRIGGER


def plan(episode: Episode, kind: Delivery.Kind, channels: Iterable[str]) -> None:
    """Adds a pending delivery for each channel, and starts the senders when the transaction has committed."""
    planned = Delivery.objects.bulk_create(
        [
            Delivery(
                episode=episode,
                channel=channel,
                kind=kind,
                severity=episode.severity,
                round=episode.round,
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
