"""Checks with Prometheus and Alertmanager whether alerts still fire when the reports about them are unclear.

The worker makes these checks every few seconds:

- An alert was reported as ended while Prometheus was silent (`Episode.unconfirmed_at`). Prometheus is asked
  as soon as it has answered again for long enough to have scraped its targets and evaluated its rules.
- An alert fires, but no sender has mentioned it for ALERT_UNMENTIONED_AFTER_SECONDS. Alertmanager is asked,
  because it sends nothing about an alert that ended while it was silenced or inhibited.
- An alert was reported as firing with a start before its end: see `reopening`.

Without an answer no alert is ended.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction

from observability.alerts import monitoring, trust
from observability.alerts.delivery import outbox
from observability.alerts.monitoring import AlertingRule
from observability.models import Delivery, Episode, EpisodeEvent, Heartbeat

MOST_AT_ONCE = 1_000
# Alertmanager forgets its alerts when it is restarted; Prometheus sends each again within about a minute.
ALERTMANAGER_KNOWS_AFTER = timedelta(minutes=5)
NOT_KNOWN = "Alertmanager no longer has this alert and sent no resolve; it may have ended while silenced."


def check_prometheus(now: datetime) -> None:
    """Stores that Prometheus answers now, and since when it has answered without a gap."""
    if not monitoring.prometheus_answers():
        return
    row, _ = Heartbeat.objects.get_or_create(name=Heartbeat.PROMETHEUS, defaults={"last_seen_at": None})
    if row.last_seen_at is None or row.last_seen_at < trust.prometheus_silent_before(now):
        row.watching_since = now
    row.last_seen_at = now
    row.save(update_fields=["last_seen_at", "watching_since"])


def settle_unconfirmed_ends(now: datetime) -> None:
    """Ends the alerts whose end Prometheus confirms, and continues those that it reports as still firing."""
    # Only what fires can have an unconfirmed end; without the status this would read the whole history.
    firing = Episode.objects.filter(status=Episode.Status.FIRING)
    waiting = firing.exclude(unconfirmed_at=None).order_by("unconfirmed_at")
    episodes = list(waiting[:MOST_AT_ONCE])
    if not episodes:
        return
    if trust.resolves_are_unchecked():  # PROMETHEUS_URL was removed in the meantime
        for episode in episodes:
            end(episode.pk, now, "Accepted without confirmation: no Prometheus is set in PROMETHEUS_URL.")
        return
    if not prometheus_has_settled(now):
        return
    rules = monitoring.alerting_rules()
    if rules is None:
        return
    for episode in episodes:
        settle(episode, [rule for rule in rules if rule.name == episode.alertname], now)


def prometheus_has_settled(now: datetime) -> bool:
    """Whether Prometheus answers, and has answered for PROMETHEUS_SETTLES_IN_SECONDS without a gap."""
    settled_before = now - timedelta(seconds=settings.PROMETHEUS_SETTLES_IN_SECONDS)
    return Heartbeat.objects.filter(
        pk=Heartbeat.PROMETHEUS,
        last_seen_at__gte=trust.prometheus_silent_before(now),
        watching_since__lte=settled_before,
    ).exists()


def settle(episode: Episode, rules: list[AlertingRule], now: datetime) -> None:
    """Ends or continues one alert with an unconfirmed end.

    `rules`: Prometheus's rules of the alert's name.
    """
    if any(rule.has(episode.labels) for rule in rules):
        cancel_unconfirmed_end(episode.pk, now, "Prometheus reports that it still fires.")
    elif not rules:
        end(episode.pk, now, "Accepted without confirmation: Prometheus has no rule of this name.")
    elif episode.unconfirmed_at and all(rule.evaluated_at > episode.unconfirmed_at for rule in rules):
        end(episode.pk, now, "Confirmed by Prometheus.")


def check_unmentioned_alerts(now: datetime) -> None:
    """Ends firing alerts that no sender has mentioned for long and that Alertmanager no longer has.

    While the resolves of Alertmanager cannot be trusted, the end is stored as unconfirmed instead.
    """
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
    end_it = end if trust.can_trust_resolves(now) else store_unconfirmed_end
    for episode in episodes:
        if episode.fingerprint not in known:
            end_it(episode.pk, now, NOT_KNOWN)


@transaction.atomic
def end(episode_id: int, now: datetime, why: str) -> None:
    """Resolves a firing episode and plans its resolve deliveries. Does nothing when it has already ended."""
    episode = lock_firing(episode_id)
    if episode is None:
        return
    episode.status = Episode.Status.RESOLVED
    episode.resolved_at = now
    episode.ends_at = episode.ends_at or now
    episode.unconfirmed_at = None
    episode.save(update_fields=["status", "resolved_at", "ends_at", "unconfirmed_at"])
    append(episode, EpisodeEvent.Kind.RESOLVED, now, why)
    notify(episode, Delivery.Kind.RESOLVE)


@transaction.atomic
def store_unconfirmed_end(episode_id: int, now: datetime, why: str) -> None:
    """Stores an end that is not confirmed yet, and notifies the channels whose notifier handles that kind."""
    episode = lock_firing(episode_id)
    if episode is None or episode.unconfirmed_at is not None:
        return
    episode.unconfirmed_at = now
    episode.save(update_fields=["unconfirmed_at"])
    append(episode, EpisodeEvent.Kind.UNCONFIRMED, now, why)
    notify(episode, Delivery.Kind.UNCONFIRMED)


@transaction.atomic
def cancel_unconfirmed_end(episode_id: int, now: datetime, why: str) -> None:
    """Clears an unconfirmed end. The same episode continues to fire, and no new page is sent."""
    episode = lock_firing(episode_id)
    if episode is None or episode.unconfirmed_at is None:
        return
    episode.unconfirmed_at = episode.ends_at = None
    episode.confirmed_at = now
    episode.save(update_fields=["unconfirmed_at", "ends_at", "confirmed_at"])
    append(episode, EpisodeEvent.Kind.CONTINUES, now, why)


def lock_firing(episode_id: int) -> Episode | None:
    """Reads and locks the episode in the caller's transaction. Returns None when it no longer fires."""
    firing = Episode.objects.select_for_update(of=("self",)).filter(status=Episode.Status.FIRING)
    return firing.filter(pk=episode_id).first()


def append(episode: Episode, kind: EpisodeEvent.Kind, now: datetime, text: str) -> None:
    EpisodeEvent.objects.create(episode=episode, at=now, kind=kind, text=text)


def notify(episode: Episode, kind: Delivery.Kind) -> None:
    """Plans deliveries of `kind`, unless Alertmanager notifies about this alert itself."""
    if not outbox.sender_notifies(episode.labels):
        outbox.plan(episode, kind, outbox.channels_of(episode, kind))
