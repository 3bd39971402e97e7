"""Watches the alert pipeline itself: channels that reject messages, a missing Watchdog, waiting deliveries.

A problem becomes an alert of its own (source "pipeline"). Its notifications go to every configured channel
except the one that has the problem. When Amani itself is down, Alertmanager notifies Slack and PagerDuty
directly (deploy/alertmanager/alertmanager.yml).
"""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.db import transaction
from django.db.models import Count, Min
from django.utils import timezone

from observability import metrics
from observability.alerts import confirming, episodes, escalating, reopening, watchdog
from observability.alerts.delivery import outbox
from observability.models import Channel, Delivery, Episode, EpisodeEvent
from observability.models.episode import Severity
from observability.notifiers import registry
from observability.notifiers.base import Delivered, Outcome, Rejected
from observability.rules.publication.watching import unpublished_seconds

State = Delivery.State
# Alert that Amani raises itself -> its page in docs/runbooks/.
RUNBOOK_PAGES = {"AlertChannelDown": "AlertDeliveryChannelRejected", "WatchdogAbsent": "Watchdog"}


def note_channel_health(channel: str, delivery: Delivery, outcome: Outcome) -> None:
    """Flags the channel after an attempt that it rejected for good, or after which the delivery was given up.

    Raises the alert AlertChannelDown with the flag, and resolves both after a successful attempt.
    """
    if isinstance(outcome, Delivered):
        clear_flag(channel)
        return
    is_rejected = isinstance(outcome, Rejected) and outcome.flags_channel
    if not is_rejected and delivery.state != State.DEAD:
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
            summary=f"Amani cannot send notifications through {registry.get(channel).label}: {reason}",
            except_channel=channel,
        )


def clear_flag(channel: str) -> None:
    """Clears the flag of the channel and resolves its alert, if it is flagged."""
    if Channel.objects.filter(pk=channel).exclude(flagged_at=None).update(flagged_at=None, flag_reason=""):
        close_alert("AlertChannelDown", subject=channel)


def fingerprint_of(alertname: str, subject: str) -> str:
    """Returns the fingerprint of a pipeline alert. `subject` is the channel or sender that it is about."""
    return f"pipeline-{alertname}-{subject}"[:64]


def is_firing(alertname: str, *, subject: str) -> bool:
    fingerprint = fingerprint_of(alertname, subject)
    return Episode.objects.filter(fingerprint=fingerprint, status=Episode.Status.FIRING).exists()


@transaction.atomic
def open_alert(
    alertname: str, *, subject: str, severity: Severity, summary: str, except_channel: str = ""
) -> None:
    """Fires a pipeline alert and plans its deliveries, unless it already fires.

    `except_channel`: the channel that has the problem; it gets no delivery.
    """
    if is_firing(alertname, subject=subject):
        return
    fingerprint = fingerprint_of(alertname, subject)
    now = timezone.now()
    episodes.retire_latest(fingerprint)
    channels = [notifier.name for notifier in registry.configured() if notifier.name != except_channel]
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
        channels=channels,
        dedup_key=f"amani-{fingerprint}-{now.isoformat()}",
        first_seen_at=now,
    )
    EpisodeEvent.objects.create(episode=episode, at=now, kind=EpisodeEvent.Kind.FIRED)
    outbox.plan(episode, Delivery.Kind.TRIGGER, channels)


@transaction.atomic
def close_alert(alertname: str, *, subject: str) -> None:
    """Resolves a pipeline alert, if it fires, and plans resolves on the channels that were notified."""
    now = timezone.now()
    firing = Episode.objects.select_for_update(of=("self",)).filter(
        fingerprint=fingerprint_of(alertname, subject), status=Episode.Status.FIRING
    )
    for episode in firing:
        episode.status = Episode.Status.RESOLVED
        episode.resolved_at = episode.ends_at = now
        episode.save(update_fields=["status", "resolved_at", "ends_at"])
        EpisodeEvent.objects.create(episode=episode, at=now, kind=EpisodeEvent.Kind.RESOLVED)
        triggers = episode.deliveries.filter(kind=Delivery.Kind.TRIGGER)
        channels = list(triggers.values_list("channel", flat=True).distinct())
        outbox.plan(episode, Delivery.Kind.RESOLVE, channels)


def watch() -> None:
    """Runs all checks and updates the gauges. The worker calls it every few seconds."""
    now = timezone.now()
    check_watchdog(now)
    confirming.check_prometheus(now)
    reopening.check_refired(now)
    confirming.settle_unconfirmed_ends(now)
    confirming.check_unmentioned_alerts(now)
    escalating.escalate_due(now)
    update_gauges(now)


def check_watchdog(now: datetime) -> None:
    """Fires or resolves WatchdogAbsent. Without a Watchdog, Prometheus or Alertmanager do not reach Amani."""
    status = watchdog.update(now)
    metrics.record_watchdog_seen(status.last_seen_at.timestamp() if status.last_seen_at else 0.0)
    if status.is_present:
        close_alert("WatchdogAbsent", subject="alertmanager")
    elif status.is_overdue and not is_firing("WatchdogAbsent", subject="alertmanager"):
        open_alert(
            "WatchdogAbsent",
            subject="alertmanager",
            severity=Severity.CRITICAL,
            summary=watchdog.explain(status),
        )


def update_gauges(now: datetime) -> None:
    """Sets the gauges of undelivered messages, channel flags, firing alerts and the worker's heartbeat."""
    for channel, (count, oldest) in backlog().items():
        metrics.record_backlog(channel, count, (now - oldest).total_seconds() if oldest else 0.0)
    flagged = set(Channel.objects.exclude(flagged_at=None).values_list("pk", flat=True))
    for channel in registry.NOTIFIERS:
        metrics.record_channel_flag(channel, channel in flagged)
    metrics.record_firing(firing_by_severity())
    metrics.record_rules_unpublished(unpublished_seconds(now))
    metrics.record_worker_heartbeat(now.timestamp())


def backlog() -> dict[str, tuple[int, datetime | None]]:
    """Returns channel → (number of undelivered messages, when the oldest of them was planned)."""
    waiting: dict[str, tuple[int, datetime | None]] = dict.fromkeys(registry.NOTIFIERS, (0, None))
    unsent = Delivery.objects.filter(state__in=[State.PENDING, State.SENDING])
    # Two queries, because each has an index: one for all unfinished states would read the whole history.
    for rows in (
        unsent.exclude(kind=Delivery.Kind.DIGEST),
        Delivery.objects.filter(digest__in=unsent.filter(kind=Delivery.Kind.DIGEST)),
    ):
        counted = rows.values_list("channel").annotate(count=Count("pk"), oldest=Min("created_at")).order_by()
        for channel, count, oldest in counted:
            known_count, known_oldest = waiting.get(channel, (0, None))
            waiting[channel] = (known_count + count, min(known_oldest or oldest, oldest))
    return waiting


def firing_by_severity() -> dict[str, int]:
    """Returns severity → number of firing alerts, with 0 for a severity without any."""
    rows = (
        Episode.objects.filter(status=Episode.Status.FIRING)
        .values_list("severity")
        .annotate(count=Count("pk"))
        .order_by()
    )
    return dict.fromkeys(Severity.values, 0) | dict(rows)
