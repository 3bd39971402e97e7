"""Plans deliveries for alerts that do not come from the webhook, whose statement plans its own, and starts
their senders."""

from __future__ import annotations

from collections.abc import Iterable

from django.db import transaction

from core.doorbell import Doorbell
from observability.alerts.intake.ingest import PRIORITY_PAGE, PRIORITY_TRIGGER, PRIORITY_UPDATE
from observability.models import Delivery, Episode
from observability.models.episode import Severity

# A ring that is lost costs a second, until beat's next sweep.
doorbell = Doorbell("observability.tasks.deliver_channel")


def priority_of(kind: str, severity: str) -> int:
    if kind != Delivery.Kind.TRIGGER:
        return PRIORITY_UPDATE
    return PRIORITY_PAGE if severity == Severity.CRITICAL else PRIORITY_TRIGGER


def plan(episode: Episode, kind: Delivery.Kind, channels: Iterable[str]) -> list[Delivery]:
    """A pending delivery for each channel, in the caller's transaction."""
    return Delivery.objects.bulk_create(
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


def ring_on_commit(channels: Iterable[str]) -> None:
    """Starts the senders of `channels` when the caller's transaction has committed; now if there is none."""
    wanted = tuple(channels)
    if wanted:
        transaction.on_commit(lambda: ring(wanted))


def ring(channels: Iterable[str]) -> None:
    for channel in channels:
        doorbell.ring(channel)
