"""The alert pipeline watches itself: channels that refuse, a Watchdog that stays away, what waits too long.

What it finds becomes an alert of its own (source "pipeline"), told like any other, but on the channels that
still work. The one thing it cannot report is its own death: Alertmanager does that by itself
(deploy/alertmanager/alertmanager.yml).
"""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.db import transaction
from django.db.models import Count, Min
from django.utils import timezone

from observability import metrics
from observability.alerts import confirming, episodes, reopening, watchdog
from observability.alerts.delivery import doorbell, outbox
from observability.models import Channel, Delivery, Episode, EpisodeEvent
from observability.models.episode import Severity
from observability.notifiers import registry
from observability.notifiers.base import Delivered, Outcome, Rejected

State = Delivery.State
# The pages in docs/runbooks/ that help with what Amani raises itself.
RUNBOOK_PAGES = {"AlertChannelDown": "AlertDeliveryChannelRejected", "WatchdogAbsent": "Watchdog"}


def note_channel_health(channel: str, delivery: Delivery, outcome: Outcome) -> None:
    """After an attempt: a channel that refuses, or that cost us a delivery, is flagged and reported."""
    if isinstance(outcome, Delivered):
        clear_flag(channel)
        return
    refused = isinstance(outcome, Rejected) and outcome.flags_channel
    if not refused and delivery.state != State.DEAD:
        return
    reason = delivery.reason or "given up"
    flagged = Channel.objects.filter(pk=channel, flagged_at=None).update(
        flagged_at=timezone.now(), flag_reason=reason
    )
    if flagged:
        open_alert(
            "AlertChannelDown",
            subject=channel,
            severity=Severity.CRITICAL,
            summary=f"Amani cannot tell anybody through {registry.get(channel).label}: {reason}",
            not_through=channel,
        )


def clear_flag(channel: str) -> None:
    if Channel.objects.filter(pk=channel).exclude(flagged_at=None).update(flagged_at=None, flag_reason=""):
        close_alert("AlertChannelDown", subject=channel)


def fingerprint_of(alertname: str, subject: str) -> str:
    return f"pipeline-{alertname}-{subject}"[:64]


def is_firing(alertname: str, *, subject: str) -> bool:
    fingerprint = fingerprint_of(alertname, subject)
    return Episode.objects.filter(fingerprint=fingerprint, status=Episode.Status.FIRING).exists()


@transaction.atomic
def open_alert(
    alertname: str, *, subject: str, severity: Severity, summary: str, not_through: str = ""
) -> None:
    """Fires a pipeline alert, unless it fires already. `not_through`: the channel that is the problem."""
    if is_firing(alertname, subject=subject):
        return
    fingerprint = fingerprint_of(alertname, subject)
    now = timezone.now()
    episodes.make_room(fingerprint)
    channels = [notifier.name for notifier in registry.configured() if notifier.name != not_through]
    episode = Episode.objects.create(
        fingerprint=fingerprint,
        starts_at=now,
        status=Episode.Status.FIRING,
        severity=severity,
        alertname=alertname,
        summary=summary,
        labels={"alertname": alertname, "severity": str(severity), "service": "amani", "subject": subject},
        annotations={
            "summary": summary,
            "runbook_url": f"{settings.RUNBOOK_BASE_URL}/{RUNBOOK_PAGES[alertname]}/",
        },
        source=Episode.Source.PIPELINE,
        not_notified="" if channels else Episode.NotNotified.NO_CHANNEL,
        dedup_key=f"amani-{fingerprint}-{now.isoformat()}",
        first_seen_at=now,
    )
    EpisodeEvent.objects.create(episode=episode, at=now, kind=EpisodeEvent.Kind.FIRED)
    outbox.plan(episode, Delivery.Kind.TRIGGER, channels)
    doorbell.ring_on_commit(channels)


@transaction.atomic
def close_alert(alertname: str, *, subject: str) -> None:
    now = timezone.now()
    firing = Episode.objects.select_for_update(of=("self",)).filter(
        fingerprint=fingerprint_of(alertname, subject), status=Episode.Status.FIRING
    )
    for episode in firing:
        episode.status = Episode.Status.RESOLVED
        episode.resolved_at = episode.ends_at = now
        episode.save(update_fields=["status", "resolved_at", "ends_at"])
        EpisodeEvent.objects.create(episode=episode, at=now, kind=EpisodeEvent.Kind.RESOLVED)
        told = episode.deliveries.filter(kind=Delivery.Kind.TRIGGER).values_list("channel", flat=True)
        channels = list(told.distinct())
        outbox.plan(episode, Delivery.Kind.RESOLVE, channels)
        doorbell.ring_on_commit(channels)


def watch() -> None:
    """Every few seconds: sign of life, Watchdog, and the gauges of docs/metrics.md."""
    now = timezone.now()
    watch_watchdog(now)
    confirming.look_for_prometheus(now)
    reopening.settle_doubts(now)
    confirming.settle_unconfirmed_ends(now)
    confirming.ask_about_unmentioned(now)
    take_snapshot(now)


def watch_watchdog(now: datetime) -> None:
    """A Watchdog that stays away means that Prometheus or Alertmanager no longer reach Amani."""
    heard = watchdog.listen(now)
    metrics.record_watchdog_seen(heard.last_seen_at.timestamp() if heard.last_seen_at else 0.0)
    if heard.is_heard:
        close_alert("WatchdogAbsent", subject="alertmanager")
    elif heard.is_overdue and not is_firing("WatchdogAbsent", subject="alertmanager"):
        open_alert(
            "WatchdogAbsent",
            subject="alertmanager",
            severity=Severity.CRITICAL,
            summary=watchdog.explain(heard),
        )


def take_snapshot(now: datetime) -> None:
    for channel, (count, oldest) in backlog().items():
        metrics.record_backlog(channel, count, (now - oldest).total_seconds() if oldest else 0.0)
    flagged = set(Channel.objects.exclude(flagged_at=None).values_list("pk", flat=True))
    for channel in registry.NOTIFIERS:
        metrics.record_channel_flag(channel, channel in flagged)
    metrics.record_firing(firing_by_severity())
    metrics.record_worker_heartbeat(now.timestamp())


def backlog() -> dict[str, tuple[int, datetime | None]]:
    """Channel → (undelivered, when the oldest of them was planned)."""
    waiting: dict[str, tuple[int, datetime | None]] = dict.fromkeys(registry.NOTIFIERS, (0, None))
    on_their_way = Delivery.objects.filter(state__in=[State.PENDING, State.SENDING])
    # Two questions, because each has an index: one for all unfinished states would read the whole history.
    for rows in (
        on_their_way.exclude(kind=Delivery.Kind.DIGEST),
        Delivery.objects.filter(digest__in=on_their_way.filter(kind=Delivery.Kind.DIGEST)),
    ):
        counted = rows.values_list("channel").annotate(count=Count("pk"), oldest=Min("created_at")).order_by()
        for channel, count, oldest in counted:
            known_count, known_oldest = waiting.get(channel, (0, None))
            waiting[channel] = (known_count + count, min(known_oldest or oldest, oldest))
    return waiting


def firing_by_severity() -> dict[str, int]:
    rows = (
        Episode.objects.filter(status=Episode.Status.FIRING)
        .values_list("severity")
        .annotate(count=Count("pk"))
        .order_by()
    )
    return dict.fromkeys(Severity.values, 0) | dict(rows)
