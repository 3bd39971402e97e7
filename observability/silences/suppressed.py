"""Keeps in the history what silences hide: alerts that fire while silenced, and those that never arrived.

Alertmanager sends nothing about a silenced alert. Its API has it, with the ids of its silences. An alert that
Amani knows gets a mark; one that never arrived gets an episode of its own with the status `silenced`, and no
channel is notified of it. When no silence holds it back any more, Alertmanager sends it, and
`intake/ingest.py` continues this episode as a new alert. One that ends while it is silenced is resolved here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import structlog
from django.db import IntegrityError, transaction
from django.db.models import Q

from observability.alerts import confirming, episodes, monitoring, trust
from observability.alerts.intake.payload import WATCHDOG_ALERTNAME, BadAlert, dedup_key, read_alert
from observability.models import Episode, EpisodeEvent, Silence, Suppression

MOST_NEW = 1_000  # episodes in one pass
LONGEST_REASON = 300
SILENCED_NOW = Q(silenced_at__isnull=False, unsilenced_at__isnull=True)
ENDED_HIDDEN = "Alertmanager no longer has it: it ended while it was silenced. Nothing was sent."
LET_GO = "No silence matches it any more."
Status = Episode.Status
Kind = EpisodeEvent.Kind

log = structlog.get_logger(__name__)


def compare(alerts: list[dict[str, Any]], now: datetime) -> None:
    """Makes marks and episodes agree with `alerts`, which Alertmanager had at `now`.

    Each change is a transaction of its own, so that no webhook waits for another alert.
    """
    hidden = {str(alert["fingerprint"]): alert for alert in alerts if is_hidden(alert)}
    by_id = silences_of(hidden.values())
    open_by_episode = defaultdict(set)
    for each in Suppression.objects.filter(ended_at=None):
        open_by_episode[each.episode_id].add(each.silence_id)
    known = known_episodes(list(hidden), list(open_by_episode))
    new = 0
    for fingerprint in sorted(hidden):
        silences = [by_id[each] for each in silenced_by(hidden[fingerprint]) if each in by_id]
        episode = known.get(fingerprint)
        if episode is None or episode.status == Status.RESOLVED:
            new += 1
            if new <= MOST_NEW:
                record_unseen(hidden[fingerprint], silences, now)
        elif is_unmarked(episode) or open_by_episode[episode.pk] != {each.pk for each in silences}:
            mark(episode.pk, silences, now)
    present = {str(alert["fingerprint"]) for alert in alerts}
    for fingerprint, episode in sorted(known.items()):
        if fingerprint not in hidden:
            release(episode, is_there=fingerprint in present, now=now)


def is_hidden(alert: dict[str, Any]) -> bool:
    return bool(silenced_by(alert)) and alert["labels"].get("alertname") != WATCHDOG_ALERTNAME


def silenced_by(alert: dict[str, Any]) -> list[str]:
    return list((alert.get("status") or {}).get("silencedBy") or ())


def silences_of(alerts: Iterable[dict[str, Any]]) -> dict[str, Silence]:
    """Returns the rows of the silences that hide `alerts`, by Alertmanager's id."""
    ids = {each for alert in alerts for each in silenced_by(alert)}
    return {row.alertmanager_id: row for row in Silence.objects.filter(alertmanager_id__in=ids)}


def known_episodes(fingerprints: list[str], ids: list[int]) -> dict[str, Episode]:
    """Returns the newest episodes of `fingerprints`, those with `ids` and those marked as silenced now."""
    of_hidden = Episode.objects.filter(is_latest=True, fingerprint__in=fingerprints)
    marked = Episode.objects.filter(SILENCED_NOW)
    with_ids = Episode.objects.filter(pk__in=ids)
    return {row.fingerprint: row for rows in (with_ids, marked, of_hidden) for row in rows}


def is_unmarked(episode: Episode) -> bool:
    return episode.silenced_at is None or episode.unsilenced_at is not None


@transaction.atomic
def mark(episode_id: int, silences: list[Silence], now: datetime) -> None:
    """Marks an episode as silenced now by `silences`, unless it has ended meanwhile."""
    episode = locked(episode_id)
    if episode.status not in (Status.FIRING, Status.SILENCED):
        return
    episode.suppressions.filter(ended_at=None).exclude(silence__in=silences).update(ended_at=now)
    added = [
        silence
        for silence in silences
        if Suppression.objects.get_or_create(
            episode=episode, silence=silence, ended_at=None, defaults={"began_at": now}
        )[1]
    ]
    if is_unmarked(episode):
        episode.silenced_at, episode.unsilenced_at = now, None
        episode.save(update_fields=["silenced_at", "unsilenced_at"])
    elif not added:
        return
    append(episode, Kind.SILENCED, now, text_about(added))


def release(episode: Episode, *, is_there: bool, now: datetime) -> None:
    """Handles a marked episode that no silence hides: let go, or ended. `is_there`: Alertmanager has it."""
    ended = not is_there and alertmanager_would_know(now)
    if let_go(episode.pk, now, ended=ended) and ended:
        end_it = confirming.end if trust.can_trust_resolves(now) else confirming.store_unconfirmed_end
        end_it(episode.pk, now, "Alertmanager no longer has this alert; it ended while it was silenced.")


@transaction.atomic
def let_go(episode_id: int, now: datetime, *, ended: bool) -> bool:
    """Takes the mark off an episode. Returns whether it fires and was sent, so that its end matters.

    One that Alertmanager never sent keeps its status until it is sent, or is resolved when it has ended.
    """
    episode = locked(episode_id)
    closed = episode.suppressions.filter(ended_at=None).update(ended_at=now)
    if is_unmarked(episode):
        return False
    if episode.status == Status.SILENCED and not ended:
        if closed:
            append(episode, Kind.UNSILENCED, now, f"{LET_GO} Alertmanager will send it.")
        return False
    episode.unsilenced_at = now
    if episode.status == Status.SILENCED:
        episode.status, episode.resolved_at, episode.ends_at = Status.RESOLVED, now, now
        episode.save(update_fields=["unsilenced_at", "status", "resolved_at", "ends_at"])
        append(episode, Kind.RESOLVED, now, ENDED_HIDDEN)
        return False
    episode.save(update_fields=["unsilenced_at"])
    if episode.status == Status.FIRING:
        append(episode, Kind.UNSILENCED, now, LET_GO)
    return episode.status == Status.FIRING


def alertmanager_would_know(now: datetime) -> bool:
    """Returns whether Alertmanager has run long enough to have been told of every alert."""
    started_at = monitoring.alertmanager_started_at()
    return started_at is not None and now - started_at >= confirming.ALERTMANAGER_KNOWS_AFTER


def record_unseen(alert: dict[str, Any], silences: list[Silence], now: datetime) -> None:
    """Creates the episode of an alert that a silence kept from arriving."""
    try:
        row = read_alert({**alert, "status": "firing"}, [], dirty=True)
        with transaction.atomic():
            create(row, silences, now)
    except BadAlert as problem:
        log.warning("silenced_alert_not_read", error=str(problem))
    except IntegrityError:  # it arrived at this moment
        log.info("silenced_alert_arrived", fingerprint=alert["fingerprint"])


def create(row: dict[str, Any], silences: list[Silence], now: datetime) -> None:
    """Creates the episode in the caller's transaction, unless the alert fires or is in doubt."""
    of_alert = Episode.objects.filter(fingerprint=row["fingerprint"])
    before = of_alert.select_for_update(of=("self",)).filter(is_latest=True).first()
    if before is not None and (before.status != Status.RESOLVED or before.refired_at is not None):
        return
    starts_at = datetime.fromisoformat(row["starts_at"]) if row["starts_at"] else now
    ended_at = None if before is None else min(before.ends_at or now, before.resolved_at or now)
    if ended_at and (starts_at <= ended_at or of_alert.filter(starts_at=starts_at).exists()):
        starts_at = now  # the reported start belongs to the episode before
    episodes.retire_latest(row["fingerprint"])
    own = {name: row[name] for name in COPIED}
    episode = Episode.objects.create(
        **own,
        starts_at=starts_at,
        status=Status.SILENCED,
        not_notified=Episode.NotNotified.SILENCED,
        dedup_key=dedup_key(row["fingerprint"], starts_at.isoformat()),
        previous_end_at=ended_at,
        first_seen_at=now,
        confirmed_at=now,
        silenced_at=now,
    )
    append(episode, Kind.SILENCED, now, f"{text_about(silences)} Amani saw it in Alertmanager.")
    Suppression.objects.bulk_create(
        Suppression(episode=episode, silence=silence, began_at=now) for silence in silences
    )


COPIED = (
    "fingerprint",
    "severity",
    "severity_is_unknown",
    "alertname",
    "summary",
    "labels",
    "annotations",
    "generator_url",
)


def locked(episode_id: int) -> Episode:
    return Episode.objects.select_for_update(of=("self",)).get(pk=episode_id)


def append(episode: Episode, kind: EpisodeEvent.Kind, now: datetime, text: str) -> None:
    EpisodeEvent.objects.create(episode=episode, at=now, kind=kind, text=text)


def text_about(silences: list[Silence]) -> str:
    """Returns who silenced it and why, for the timeline."""
    if not silences:
        return "By a silence of Alertmanager."
    return " ".join(
        f"By silence {each.pk} of {each.created_by}: {each.reason[:LONGEST_REASON]}" for each in silences
    )
