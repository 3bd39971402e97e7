"""Plans deliveries for alerts that do not come from the webhook (the webhook plans its own in SQL)."""

from __future__ import annotations

from collections.abc import Iterable

from observability.alerts.intake.ingest import PRIORITY_PAGE, PRIORITY_TRIGGER, PRIORITY_UPDATE
from observability.models import Delivery, Episode
from observability.models.episode import Severity


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
