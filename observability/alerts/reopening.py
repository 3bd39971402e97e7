"""Decides whether a resolved episode that is reported as firing really fires again, and reopens it.

Alertmanager resolves an alert itself when Prometheus has been silent for some minutes. When Prometheus is
back, the alert is reported with the *same* start as before, so the report looks like a delayed copy of the
first one. A report of another sender looks the same when its start lies before the end that the first sender
reported. To ignore such a report could lose an alert; to believe each of them would page for alerts that are
over. So Alertmanager's API is asked. While it does not answer, the episode stays resolved for WITHOUT_ANSWER
and is then reopened: an unneeded page does less harm than a missing one.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction

from observability.alerts import monitoring
from observability.alerts.delivery import outbox
from observability.models import Delivery, Episode, EpisodeEvent

WITHOUT_ANSWER = timedelta(minutes=5)
MOST_AT_ONCE = 100


def check_refired(now: datetime) -> None:
    """Asks Alertmanager about the episodes that were reported as firing after their resolve
    (`refired_at`)."""
    refired = list(Episode.objects.exclude(refired_at=None).order_by("refired_at")[:MOST_AT_ONCE])
    if not refired:
        return
    known = monitoring.known_fingerprints()
    for episode in refired:
        if known is None:
            if episode.refired_at is not None and now - episode.refired_at > WITHOUT_ANSWER:
                reopen(episode.pk, now, "Reported as firing again, and Alertmanager did not answer.")
        elif episode.fingerprint in known:
            reopen(episode.pk, now, "Alertmanager reports that it still fires.", fires_at=now)
        else:
            Episode.objects.filter(pk=episode.pk).update(refired_at=None)


@transaction.atomic
def reopen(episode_id: int, now: datetime, why: str, *, fires_at: datetime | None = None) -> None:
    """Opens the episode for another round and plans notifications as for a new alert.

    `fires_at`: when Alertmanager answered that the alert fires. It becomes the latest start of the episode,
    so that a delayed copy of the last resolve, which lies before it, does not end this round.
    """
    episode = Episode.objects.select_for_update(of=("self",)).get(pk=episode_id)
    if episode.status != Episode.Status.RESOLVED:
        return
    episode.status = Episode.Status.FIRING
    episode.resolved_at = episode.ends_at = episode.refired_at = None
    episode.acknowledged_at = episode.acknowledged_by = None
    episode.ending, episode.ending_value, episode.ending_condition = "", None, ""
    episode.latest_start_at = fires_at or episode.latest_start_at
    episode.confirmed_at = now
    episode.round += 1
    episode.reopened_at = now
    outbox.route_again(episode, now)
    episode.save()
    EpisodeEvent.objects.create(episode=episode, at=now, kind=EpisodeEvent.Kind.REOPENED, text=why)
    outbox.plan(episode, Delivery.Kind.TRIGGER, outbox.channels_of(episode, Delivery.Kind.TRIGGER))
