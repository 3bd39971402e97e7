"""Settles what a firing snapshot of a resolved episode means: a late copy, or the truth.

Alertmanager resolves an alert by itself when Prometheus stays silent for some minutes. When Prometheus is
back, the alert fires on with the *same* start, so its snapshot looks like a late copy of the first one. So
does a firing snapshot of another sender whose start lies before the end that the first one reported.
Taking it for late would lose an alert; taking every late copy for true would page for what is over. So
Alertmanager's API is asked. While it does not answer, the episode stays resolved for a few minutes, then
it is opened again: a page too many is better than one too few.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction

from observability.alerts import monitoring
from observability.alerts.delivery import doorbell, outbox
from observability.alerts.intake.routing import reason_not_to_notify
from observability.models import Delivery, Episode, EpisodeEvent

WITHOUT_ANSWER = timedelta(minutes=5)
MOST_AT_ONCE = 100


def settle_doubts(now: datetime) -> None:
    doubted = list(Episode.objects.exclude(refired_at=None).order_by("refired_at")[:MOST_AT_ONCE])
    if not doubted:
        return
    known = monitoring.known_fingerprints()
    for episode in doubted:
        if known is None:
            if episode.refired_at is not None and now - episode.refired_at > WITHOUT_ANSWER:
                reopen(episode.pk, now, "It fires again, and Alertmanager could not be asked.")
        elif episode.fingerprint in known:
            reopen(episode.pk, now, "It still fires in Alertmanager.", fires_at=now)
        else:
            Episode.objects.filter(pk=episode.pk).update(refired_at=None)


@transaction.atomic
def reopen(episode_id: int, now: datetime, why: str, *, fires_at: datetime | None = None) -> None:
    """Opens the episode for another round and notifies as for a new alert.

    `fires_at`: when Alertmanager said that it fires. A copy of the resolve that ended the round before lies
    before it, and so does not end this one.
    """
    episode = Episode.objects.select_for_update(of=("self",)).get(pk=episode_id)
    if episode.status != Episode.Status.RESOLVED:
        return
    episode.status = Episode.Status.FIRING
    episode.resolved_at = episode.ends_at = episode.refired_at = None
    episode.acknowledged_at = episode.acknowledged_by = None
    episode.latest_start_at = fires_at or episode.latest_start_at
    episode.confirmed_at = now
    episode.round += 1
    episode.not_notified = reason_not_to_notify(episode.severity, episode.labels)
    episode.save()
    EpisodeEvent.objects.create(episode=episode, at=now, kind=EpisodeEvent.Kind.REOPENED, text=why)
    if episode.not_notified:
        return
    channels = settings.ALERT_ROUTES[episode.severity]
    outbox.plan(episode, Delivery.Kind.TRIGGER, channels)
    doorbell.ring_on_commit(channels)
