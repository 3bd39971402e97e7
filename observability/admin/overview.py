"""Collects what the start page shows: firing alerts, undelivered messages, and whether the pipeline works."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any

from django.conf import settings
from django.db.models import Count, Q, Value
from django.http import HttpRequest
from django.utils import timezone
from django.utils.safestring import SafeString

from core.console import display
from observability.admin.channels import channel_badge
from observability.admin.episodes import (
    deliveries_in_order,
    deliveries_to_show,
    delivery_line,
    prefetched_deliveries,
)
from observability.admin.receipts import lately_truncated, needs_attention
from observability.alerts import badges, trust
from observability.alerts.pipeline import backlog
from observability.models import Channel, Delivery, Episode, Heartbeat, Receipt
from observability.models.episode import Severity
from observability.notifiers import registry
from observability.notifiers.base import Notifier
from observability.roles import SEE_STATE_OF_ALERTS
from observability.sentry import dsn_problem

COUNT_AT_MOST = 1_000
MOST_FIRING = 10
WORKER_LATE_SECONDS = 60
RECENTLY = timedelta(hours=24)
NEVER_RECEIVED = (
    "No alert can arrive. Check in alertmanager.yml the webhook's address, its token (ALERT_WEBHOOK_TOKEN) "
    "and the route of Watchdog, and in Prometheus the rule Watchdog and Alertmanager's address."
)
ORDER = list(Severity.values)


@dataclass(frozen=True, slots=True)
class Sign:
    """One line about a part of the pipeline: its badge (`tone`, `icon`, `text`) and an explanation."""

    name: str
    tone: str
    icon: str
    text: str
    detail: str
    url_name: str = ""
    runbook: str = ""


@dataclass(frozen=True, slots=True)
class ChannelState:
    name: str
    label: str
    badge: tuple[str, str, str]
    reason: str
    waiting: int
    oldest: datetime | None
    failed: int


def may_see(request: HttpRequest) -> bool:
    return request.user.has_perms(SEE_STATE_OF_ALERTS)


def firing_count() -> int:
    return Episode.objects.filter(status=Episode.Status.FIRING).order_by()[:COUNT_AT_MOST].count()


def firing_counts() -> tuple[dict[str, int], int]:
    """Returns how many alerts fire, by severity, and how many of them have a severity that is unknown."""
    firing = Episode.objects.filter(status=Episode.Status.FIRING).values_list("severity").order_by()
    rows = firing.annotate(count=Count("pk"), unknown=Count("pk", filter=Q(severity_is_unknown=True)))
    counts = dict.fromkeys(ORDER, 0) | {severity: count for severity, count, _ in rows}
    return counts, sum(unknown for *_, unknown in rows)


def overview() -> dict[str, Any]:
    counts, unknown_severities = firing_counts()
    now = timezone.now()
    channels = channel_states(now)
    return {
        "now": now,
        "unknown_severity_badge": badges.UNKNOWN_SEVERITY_BADGE,
        "severities": [(severity, counts[severity]) for severity in ORDER],
        "firing": firing_alerts(),
        "firing_total": sum(counts.values()),
        "channels": channels,
        "signs": signs_of_life(now),
        "integrations": [errors_sign(), traces_sign()],
        "banners": banners(channels, unknown_severities),
    }


def firing_alerts() -> list[tuple[Episode, list[SafeString]]]:
    """Returns the most severe alerts first, then the oldest; each with one line for each delivery to show."""
    chosen = Episode.objects.filter(pk__in=worst_firing()).select_related("acknowledged_by")
    firing = list(chosen.prefetch_related(deliveries_in_order()))
    firing.sort(key=lambda alert: (ORDER.index(alert.severity), alert.starts_at))
    return [
        (alert, [delivery_line(row) for row in deliveries_to_show(prefetched_deliveries(alert))])
        for alert in firing
    ]


def worst_firing() -> list[int]:
    """Returns keys found in the index of firing alerts, severity by severity: many alerts need no sort."""
    found = [
        Episode.objects.filter(status=Episode.Status.FIRING, severity=severity)
        .order_by("starts_at", "id")
        .values_list("pk", Value(rank))[:MOST_FIRING]
        for rank, severity in enumerate(ORDER)
    ]
    ranked = found[0].union(*found[1:], all=True)
    return [pk for pk, _rank in sorted(ranked, key=itemgetter(1))[:MOST_FIRING]]


def channel_states(now: datetime) -> list[ChannelState]:
    rows = {channel.name: channel for channel in Channel.objects.all()}
    waiting = backlog()
    failed = failed_since(now - RECENTLY)
    return [
        ChannelState(
            name=name,
            label=notifier.label,
            badge=channel_badge(name, rows.get(name)),
            reason=rows[name].flag_reason if name in rows else "",
            waiting=waiting[name][0],
            oldest=waiting[name][1],
            failed=failed.get(name, 0),
        )
        for name, notifier in registry.NOTIFIERS.items()
    ]


def failed_since(moment: datetime) -> dict[str, int]:
    """Counts, for each channel, deliveries since `moment` that failed or were given up and not sent again."""
    rows = (
        Delivery.objects.filter(
            state__in=[Delivery.State.FAILED, Delivery.State.DEAD], created_at__gte=moment, resends=None
        )
        .values_list("channel")
        .annotate(count=Count("pk"))
        .order_by()
    )
    return dict(rows)


def signs_of_life(now: datetime) -> list[Sign]:
    rows = {row.name: row for row in Heartbeat.objects.all()}
    worker = rows.get(Heartbeat.WORKER)
    return [
        worker_sign(worker, now),
        watchdog_sign(rows.get(Heartbeat.WATCHDOG), worker, now),
        prometheus_sign(rows.get(Heartbeat.PROMETHEUS), worker, now),
        receipt_sign(now),
    ]


def worker_sign(row: Heartbeat | None, now: datetime) -> Sign:
    name = "Worker"
    if row is None or row.last_seen_at is None:
        return Sign(name, "bad", "error", "never seen", "Nothing is delivered until a worker and beat run.")
    if not is_watching(row, now):
        return silent(name, row.last_seen_at, now, "Nothing is delivered now.", "AlertWorkerGone")
    return Sign(name, "good", "check_circle", "alive", f"seen {display.ago(row.last_seen_at, now)}")


def is_watching(worker: Heartbeat | None, now: datetime) -> bool:
    seen = worker.last_seen_at if worker else None
    return seen is not None and now - seen <= timedelta(seconds=WORKER_LATE_SECONDS)


def silent(name: str, seen: datetime, now: datetime, detail: str, runbook: str) -> Sign:
    text = f"silent for {display.duration(now - seen)}"
    return Sign(name, "bad", "error", text, detail, runbook=runbook)


def watchdog_sign(row: Heartbeat | None, worker: Heartbeat | None, now: datetime) -> Sign:
    """Returns whether the Watchdog arrives: never, no longer, not yet after a pause of Amani, or recently.

    Pauses of Amani are known only while the worker runs.
    """
    name, limit = "Watchdog", timedelta(seconds=settings.WATCHDOG_TIMEOUT_SECONDS)
    watched = timedelta(seconds=row.silent_seconds) if row else timedelta()
    if row is None or row.last_seen_at is None:
        first = timedelta(seconds=settings.WATCHDOG_FIRST_TIMEOUT_SECONDS)
        if watched > limit or timedelta() < first < watched:
            return Sign(name, "bad", "error", "never received", NEVER_RECEIVED, runbook="Watchdog")
        return Sign(name, "quiet", "hourglass_top", "not received yet", "Prometheus sends it every minute.")
    if row.ended_at:
        detail = "Prometheus no longer reaches Alertmanager: alerts may not arrive."
        return silent(name, row.last_seen_at, now, detail, "Watchdog")
    if now - row.last_seen_at <= limit:
        return Sign(name, "good", "check_circle", "arrives", f"received {display.ago(row.last_seen_at, now)}")
    if watched <= limit and is_watching(worker, now):
        detail = f"Amani was not running; last received {display.ago(row.last_seen_at, now)}."
        return Sign(name, "quiet", "hourglass_top", "expected", detail)
    detail = "Prometheus or Alertmanager does not reach Amani: alerts may not arrive."
    return silent(name, row.last_seen_at, now, detail, "Watchdog")


def prometheus_sign(row: Heartbeat | None, worker: Heartbeat | None, now: datetime) -> Sign:
    """Returns whether Prometheus answers the worker. Only then it can confirm that an alert was resolved."""
    name = "Prometheus"
    if not settings.PROMETHEUS_URL or row is None or row.last_seen_at is None:
        detail = "No Prometheus answered under PROMETHEUS_URL so far: resolves are not checked against it."
        return Sign(name, "quiet", "help", "never answered", detail)
    if row.last_seen_at >= trust.prometheus_silent_before(now):
        return Sign(name, "good", "check_circle", "answers", f"asked {display.ago(row.last_seen_at, now)}")
    if not is_watching(worker, now):
        return Sign(name, "quiet", "hourglass_top", "not asked", "The worker asks it.")
    detail = "Resolves stay unconfirmed until it answers (PROMETHEUS_URL)."
    return silent(name, row.last_seen_at, now, detail, "Watchdog")


def receipt_sign(now: datetime) -> Sign:
    name, url = "Last receipt", "admin:observability_receipt_changelist"
    last = Receipt.objects.only("received_at", "outcome", "alert_count").order_by("-id").first()
    if last is None:
        return Sign(name, "quiet", "inbox", "none yet", "The webhook has received no request so far.", url)
    tone, icon, text = badges.OUTCOME_BADGES[Receipt.Outcome(last.outcome)]
    count = "1 alert" if last.alert_count == 1 else f"{last.alert_count} alerts"
    return Sign(name, tone, icon, text.lower(), f"{display.ago(last.received_at, now)}, {count}", url)


def errors_sign() -> Sign:
    if not settings.SENTRY_DSN:
        return Sign("Sentry", "quiet", "bug_report", "Off", "Errors are in the log only: no SENTRY_DSN.")
    if problem := dsn_problem(settings.SENTRY_DSN):
        return Sign("Sentry", "bad", "error", "Off", f"SENTRY_DSN is malformed: {problem}.")
    return Sign("Sentry", "good", "check_circle", "On", f"Errors go there as {settings.ENVIRONMENT}.")


def traces_sign() -> Sign:
    if not settings.TRACING_ENABLED:
        return Sign("Tracing", "quiet", "account_tree", "Off", "No request is traced: no TRACING_ENABLED.")
    rate = settings.TRACING_SAMPLE_RATE
    share = "as set in OTEL_TRACES_SAMPLER" if rate is None else f"at a rate of {rate:g}"
    return Sign(
        "Tracing", "good", "check_circle", "On", f"Sampled {share}; exporter {settings.TRACING_EXPORTER}."
    )


def banners(channels: list[ChannelState], unknown: int) -> list[tuple[str, str, str, str, str]]:
    """Returns (tone, title, text, URL name, query) of each warning at the top of the page.

    `unknown`: how many firing alerts have an unknown severity.
    """
    found = [
        (
            "bad",
            f"{channel.label} rejects messages",
            channel.reason,
            "admin:observability_channel_changelist",
            "",
        )
        for channel in channels
        if channel.badge[0] == "bad"
    ]
    if not settings.ALERT_WEBHOOK_TOKEN:
        text = "ALERT_WEBHOOK_TOKEN is not set, so no alert can arrive."
        found.append(("bad", "The webhook is closed", text, "", ""))
    off = [notifier for notifier in registry.NOTIFIERS.values() if not notifier.is_configured()]
    if off:
        labels = " and ".join(notifier.label for notifier in off)
        title = f"{labels} {'is' if len(off) == 1 else 'are'} off"
        found.append(("warning", title, off_text(off), "", ""))
    if unknown:
        title = f"{unknown} firing {'alert has' if unknown == 1 else 'alerts have'} an unknown severity"
        text = "It counts as an error. Correct the rule, or map the value in ALERT_SEVERITY_MAP."
        url_name, query = (
            "admin:observability_episode_changelist",
            "?status__exact=firing&severity_label=unknown",
        )
        found.append(("warning", title, text, url_name, query))
    if truncated := lately_truncated().first():
        title = f"Alertmanager left out {truncated.truncated_alerts:,} alerts of one group"
        text = "Amani never received them. Set max_alerts to 0 for its receiver, or group by more labels."
        found.append(("warning", title, text, "admin:observability_receipt_changelist", "?truncated=yes"))
    if Receipt.objects.filter(needs_attention()).exists():
        text = "Some requests to the webhook could not be read, or only in part: alerts may be missing."
        url_name, query = "admin:observability_receipt_changelist", "?attention=yes"
        found.append(("warning", "Receipts need attention", text, url_name, query))
    return found


def off_text(off: list[Notifier]) -> str:
    if len(off) == len(registry.NOTIFIERS):
        return f"Alerts are stored, but no notification is sent. Set {registry.how_to_switch_on(off)}."
    return f"No notification is sent there until {registry.how_to_switch_on(off)} is set."
