"""Settles what a firing snapshot of a resolved episode means: a late copy, or the truth.

Alertmanager resolves an alert by itself when Prometheus stays silent for some minutes. When Prometheus is
back, the alert fires on with the *same* start, so its snapshot looks like a late copy of the first one.
Taking it for late would lose an alert; taking every late copy for true would page for what is over. So
Alertmanager's API is asked. While it does not answer, the episode stays resolved for a few minutes, then
it is opened again: a page too many is better than one too few.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import requests
import structlog
from django.conf import settings
from django.db import transaction

from observability.alerts import doorbell, outbox
from observability.models import Delivery, Episode, EpisodeEvent
from observability.request_id import request_id_header

ASK_TIMEOUT_SECONDS = 3.0
WITHOUT_ANSWER = timedelta(minutes=5)
MOST_AT_ONCE = 100

log = structlog.get_logger(__name__)


def settle_doubts(now: datetime) -> None:
    doubted = list(Episode.objects.exclude(refired_at=None).order_by("refired_at")[:MOST_AT_ONCE])
    if not doubted:
        return
    firing = firing_fingerprints()
    for episode in doubted:
        if firing is None:
            if episode.refired_at is not None and now - episode.refired_at > WITHOUT_ANSWER:
                reopen(episode.pk, now, "It fires again, and Alertmanager could not be asked.")
        elif episode.fingerprint in firing:
            reopen(episode.pk, now, "It still fires in Alertmanager.")
        else:
            Episode.objects.filter(pk=episode.pk).update(refired_at=None)


def firing_fingerprints() -> set[str] | None:
    """Fingerprints of the alerts that Alertmanager holds as firing; None when it cannot be asked."""
    url = f"{settings.ALERTMANAGER_URL}/api/v2/alerts"
    try:
        response = requests.get(
            url, headers=request_id_header(), timeout=ASK_TIMEOUT_SECONDS, allow_redirects=False
        )
        response.raise_for_status()
        return {alert["fingerprint"] for alert in response.json()}
    except (requests.RequestException, ValueError, TypeError, KeyError) as problem:
        log.warning("alertmanager_not_asked", error=type(problem).__name__)
        return None


@transaction.atomic
def reopen(episode_id: int, now: datetime, why: str) -> None:
    """Firing again: a new round of the same episode, told like a new alert."""
    episode = Episode.objects.select_for_update(of=("self",)).get(pk=episode_id)
    if episode.status != Episode.Status.RESOLVED:
        return
    episode.status = Episode.Status.FIRING
    episode.resolved_at = episode.ends_at = episode.refired_at = None
    episode.acknowledged_at = episode.acknowledged_by = None
    episode.round += 1
    episode.save()
    EpisodeEvent.objects.create(episode=episode, at=now, kind=EpisodeEvent.Kind.REOPENED, text=why)
    if episode.labels.get("notified_by") == "alertmanager":
        return
    channels = settings.ALERT_ROUTES[episode.severity]
    outbox.plan(episode, Delivery.Kind.TRIGGER, channels)
    doorbell.ring_on_commit(channels)
