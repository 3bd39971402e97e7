"""Notifies the next channels of an alert that no operator has acknowledged in time.

The steps are rows of the alert's route. The worker looks every few seconds. A step is taken in one
transaction: it locks the alert, checks again, adds a row that can exist only once, and plans the deliveries.
So a worker that is killed has taken a step or not, and of two workers one takes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from django.db import connection, transaction

from observability import metrics
from observability.alerts import monitoring
from observability.alerts.confirming import append, lock_firing
from observability.alerts.delivery import outbox
from observability.models import Delivery, Episode, EpisodeEvent, Escalation, RouteStep
from observability.routes.wording import channel_names

MOST_AT_ONCE = 1_000

# New steps first: those of silenced alerts are found each time, and must not keep others waiting.
DUE = """
SELECT episode.id, episode.fingerprint, step.after_minutes
FROM observability_episode AS episode
JOIN observability_route AS route ON route.id = episode.route_id
JOIN observability_routestep AS step ON step.route_id = route.id
LEFT JOIN observability_escalation AS taken
  ON taken.episode_id = episode.id AND taken.round = episode.round
 AND taken.after_minutes = step.after_minutes
WHERE episode.status = 'firing' AND episode.acknowledged_at IS NULL
  AND route.is_on AND route.removed_at IS NULL
  AND coalesce(episode.reopened_at, episode.first_seen_at)
      + step.after_minutes * interval '1 minute' <= %(now)s
  AND (taken.id IS NULL OR taken.state = 'held')
ORDER BY taken.id IS NOT NULL, episode.id, step.after_minutes
LIMIT %(most)s
"""


class Due(NamedTuple):
    """A step whose time has come."""

    episode_id: int
    fingerprint: str
    after_minutes: int


class Planned(NamedTuple):
    """A step that will be taken unless an operator acknowledges the alert before."""

    at: datetime
    channels: str


def escalate_due(now: datetime) -> None:
    """Takes all steps that are due. Those of alerts that Alertmanager suppresses are held until it does not.

    While Alertmanager does not answer, steps are taken: an unneeded page does less harm than a missing one.
    """
    due = due_steps(now)
    if not due:
        return
    suppressed = monitoring.suppressed_fingerprints() or set()
    for step in due:
        take_step(step.episode_id, step.after_minutes, now, is_held=step.fingerprint in suppressed)


def due_steps(now: datetime) -> list[Due]:
    with connection.cursor() as cursor:
        cursor.execute(DUE, {"now": now, "most": MOST_AT_ONCE})
        return [Due(*row) for row in cursor.fetchall()]


@transaction.atomic
def take_step(episode_id: int, after_minutes: int, now: datetime, *, is_held: bool) -> None:
    """Takes one step, or notes that it is held. Does nothing when it is no longer due."""
    episode = lock_firing(episode_id)
    if episode is None or episode.acknowledged_at is not None or episode.route_id is None:
        return
    steps = RouteStep.objects.filter(route__is_on=True, route__removed_at=None)
    step = steps.filter(route_id=episode.route_id, after_minutes=after_minutes).first()
    if step is None or began_at(episode) + step.after > now:
        return
    taken, _ = Escalation.objects.get_or_create(
        episode=episode,
        round=episode.round,
        after_minutes=after_minutes,
        defaults={"at": now, "state": Escalation.State.NEW},
    )
    if is_held:
        hold(taken, episode, now)
    elif taken.state != Escalation.State.TAKEN:
        notify_next(taken, episode, step.channels, now)


def hold(taken: Escalation, episode: Episode, now: datetime) -> None:
    if taken.state != Escalation.State.NEW:
        return
    taken.state = Escalation.State.HELD
    taken.save(update_fields=["state"])
    text = f"Not acknowledged for {taken.after_minutes} min; held, because Alertmanager suppresses the alert."
    append(episode, EpisodeEvent.Kind.ESCALATED, now, text)
    count("held")


def notify_next(taken: Escalation, episode: Episode, channels: Sequence[str], now: datetime) -> None:
    known = episode.channels or []
    added = [name for name in channels if name not in known]
    taken.state, taken.at = Escalation.State.TAKEN, now
    taken.save(update_fields=["state", "at"])
    if added:
        episode.channels = [*known, *added]
        episode.save(update_fields=["channels"])
        outbox.plan(episode, Delivery.Kind.TRIGGER, added, unacknowledged_minutes=taken.after_minutes)
    what = f"notifying {channel_names(added)}" if added else "its channels were notified before"
    append(
        episode, EpisodeEvent.Kind.ESCALATED, now, f"Not acknowledged for {taken.after_minutes} min: {what}."
    )
    count("notified" if added else "known")


def count(outcome: str) -> None:
    transaction.on_commit(lambda: metrics.record_escalation(outcome))


def began_at(episode: Episode) -> datetime:
    """Returns since when operators could have acknowledged the alert."""
    return episode.reopened_at or episode.first_seen_at


def next_steps(episode: Episode) -> list[Planned]:
    """Returns the steps that are still to come if no operator acknowledges the alert."""
    if episode.status != Episode.Status.FIRING or episode.acknowledged_at or episode.route_id is None:
        return []
    steps = RouteStep.objects.filter(route=episode.route_id, route__is_on=True, route__removed_at=None)
    done = episode.escalations.filter(round=episode.round, state=Escalation.State.TAKEN)
    return [
        Planned(began_at(episode) + timedelta(minutes=step.after_minutes), channel_names(step.channels))
        for step in steps.exclude(after_minutes__in=done.values("after_minutes"))
    ]
