"""Finds out whether an alert still fires when its senders leave it open.

Three questions, asked every few seconds by the worker:

- Reported as ended while Prometheus was silent (`Episode.unconfirmed_at`): Prometheus is asked as soon as it
  has answered again for long enough to have scraped its targets and evaluated its rules.
- Firing, but not mentioned by any sender for ALERT_UNMENTIONED_AFTER_SECONDS: Alertmanager is asked. It sends
  nothing about an alert that ended while it was silenced or inhibited.
- Reported as firing again with a start before its end: `reopening`.

Without an answer nothing is ended.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction

from observability.alerts import monitoring, trust
from observability.alerts.delivery import doorbell, outbox
from observability.alerts.intake.routing import sender_notifies
from observability.alerts.monitoring import AlertingRule
from observability.models import Delivery, Episode, EpisodeEvent, Heartbeat
from observability.notifiers import registry
from observability.notifiers.base import Kind

MOST_AT_ONCE = 1_000
# Alertmanager forgets its alerts when it is restarted; Prometheus sends each again within about a minute.
ALERTMANAGER_KNOWS_AFTER = timedelta(minutes=5)
GONE = "Alertmanager no longer knows it; it sent no resolve, as for an alert that ends while it is silenced."


def look_for_prometheus(now: datetime) -> None:
    """Notes whether Prometheus answers, and since when it has done so without a gap."""
    if not monitoring.prometheus_answers():
        return
    row, _ = Heartbeat.objects.get_or_create(name=Heartbeat.PROMETHEUS, defaults={"last_seen_at": None})
    if row.last_seen_at is None or row.last_seen_at < trust.prometheus_silent_before(now):
        row.watching_since = now
    row.last_seen_at = now
    row.save(update_fields=["last_seen_at", "watching_since"])


def settle_unconfirmed_ends(now: datetime) -> None:
    """Ends what Prometheus confirms as ended, and clears the mark of what it says still fires."""
    # Only what fires can have an unconfirmed end; without the status this would read the whole history.
    firing = Episode.objects.filter(status=Episode.Status.FIRING)
    waiting = firing.exclude(unconfirmed_at=None).order_by("unconfirmed_at")
    episodes = list(waiting[:MOST_AT_ONCE])
    if not episodes:
        return
    if trust.resolves_are_unchecked():  # PROMETHEUS_URL was taken away meanwhile
        for episode in episodes:
            end(episode.pk, now, "Amani has no Prometheus to ask: taken on Alertmanager's word.")
        return
    if not prometheus_has_settled(now):
        return
    rules = monitoring.alerting_rules()
    if rules is None:
        return
    for episode in episodes:
        settle(episode, [rule for rule in rules if rule.name == episode.alertname], now)


def prometheus_has_settled(now: datetime) -> bool:
    """Whether Prometheus answers, and has for long enough since its last absence."""
    settled_before = now - timedelta(seconds=settings.PROMETHEUS_SETTLES_IN_SECONDS)
    return Heartbeat.objects.filter(
        pk=Heartbeat.PROMETHEUS,
        last_seen_at__gte=trust.prometheus_silent_before(now),
        watching_since__lte=settled_before,
    ).exists()


def settle(episode: Episode, rules: list[AlertingRule], now: datetime) -> None:
    """Decides about one unconfirmed end by the `rules` of the alert's name."""
    if any(rule.has(episode.labels) for rule in rules):
        take_back_end(episode.pk, now, "Prometheus says that it still fires.")
    elif not rules:
        end(episode.pk, now, "Prometheus has no rule of this name: taken on Alertmanager's word.")
    elif episode.unconfirmed_at and all(rule.evaluated_at > episode.unconfirmed_at for rule in rules):
        end(episode.pk, now, "Prometheus confirms it.")


def ask_about_unmentioned(now: datetime) -> None:
    """Compares what no sender has mentioned for long with what Alertmanager holds."""
    unmentioned = Episode.objects.filter(
        source=Episode.Source.ALERTMANAGER,
        status=Episode.Status.FIRING,
        unconfirmed_at=None,
        confirmed_at__lt=trust.unmentioned_before(now),
    )
    episodes = list(unmentioned.order_by("confirmed_at")[:MOST_AT_ONCE])
    if not episodes:
        return
    known, started_at = monitoring.known_fingerprints(), monitoring.alertmanager_started_at()
    if known is None or started_at is None:
        return
    still_there = [episode.pk for episode in episodes if episode.fingerprint in known]
    Episode.objects.filter(pk__in=still_there).update(confirmed_at=now)
    if now - started_at < ALERTMANAGER_KNOWS_AFTER:
        return
    take_for_ended = end if trust.can_trust_resolves(now) else mark_unconfirmed
    for episode in episodes:
        if episode.fingerprint not in known:
            take_for_ended(episode.pk, now, GONE)


@transaction.atomic
def end(episode_id: int, now: datetime, why: str) -> None:
    """Resolves a firing episode and plans its resolves. Does nothing when it has ended meanwhile."""
    episode = lock_firing(episode_id)
    if episode is None:
        return
    episode.status = Episode.Status.RESOLVED
    episode.resolved_at = now
    episode.ends_at = episode.ends_at or now
    episode.unconfirmed_at = None
    episode.save(update_fields=["status", "resolved_at", "ends_at", "unconfirmed_at"])
    append(episode, EpisodeEvent.Kind.RESOLVED, now, why)
    notify(episode, Delivery.Kind.RESOLVE, settings.ALERT_ROUTES[episode.severity])


@transaction.atomic
def mark_unconfirmed(episode_id: int, now: datetime, why: str) -> None:
    """Notes an end that nothing confirms yet, and plans its message where the notifier handles that."""
    episode = lock_firing(episode_id)
    if episode is None or episode.unconfirmed_at is not None:
        return
    episode.unconfirmed_at = now
    episode.save(update_fields=["unconfirmed_at"])
    append(episode, EpisodeEvent.Kind.UNCONFIRMED, now, why)
    routes = settings.ALERT_ROUTES[episode.severity]
    channels = [name for name in routes if Kind.UNCONFIRMED in registry.get(name).handles]
    notify(episode, Delivery.Kind.UNCONFIRMED, channels)


@transaction.atomic
def take_back_end(episode_id: int, now: datetime, why: str) -> None:
    """Clears an unconfirmed end: the alert fires on, in the same episode, and nobody is paged again."""
    episode = lock_firing(episode_id)
    if episode is None or episode.unconfirmed_at is None:
        return
    episode.unconfirmed_at = episode.ends_at = None
    episode.confirmed_at = now
    episode.save(update_fields=["unconfirmed_at", "ends_at", "confirmed_at"])
    append(episode, EpisodeEvent.Kind.CONTINUES, now, why)


def lock_firing(episode_id: int) -> Episode | None:
    """Reads and locks the episode, in the caller's transaction; None when it no longer fires."""
    firing = Episode.objects.select_for_update(of=("self",)).filter(status=Episode.Status.FIRING)
    return firing.filter(pk=episode_id).first()


def append(episode: Episode, kind: EpisodeEvent.Kind, now: datetime, text: str) -> None:
    EpisodeEvent.objects.create(episode=episode, at=now, kind=kind, text=text)


def notify(episode: Episode, kind: Delivery.Kind, channels: list[str] | tuple[str, ...]) -> None:
    """Plans `kind` on `channels`, unless Alertmanager notifies about this alert by itself."""
    if sender_notifies(episode.labels):
        return
    outbox.plan(episode, kind, channels)
    doorbell.ring_on_commit(list(channels))
