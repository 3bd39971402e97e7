"""The metrics of Amani's operation, declared once, with the functions that record them.

Call sites pass domain values and never see labels. Labels are closed sets whose children are made at import:
zero is shown as zero. docs/metrics.md says what each metric is for. Those of HTTP requests are in
telemetry/metrics/requests.py; other apps declare theirs with the functions in `__all__`.
"""

import time
from collections.abc import Iterable, Mapping

from core.sqlstates import Reason, outage_of
from observability.notifiers import registry
from observability.telemetry.metrics import models, requests
from observability.telemetry.metrics.declare import (
    REGISTRY,
    children,
    counter,
    grid,
    histogram,
    live_gauge,
    snapshot_gauge,
)
from observability.telemetry.metrics.requests import METHODS

__all__ = [
    "METHODS",
    "REGISTRY",
    "children",
    "counter",
    "grid",
    "histogram",
    "models",
    "requests",
    "snapshot_gauge",
]

ROLES = ("web", "worker", "beat")
SEVERITIES = ("critical", "error", "warning", "info")
CHANNELS = tuple(registry.NOTIFIERS)
OPERATIONS = ("SELECT", "INSERT", "UPDATE", "DELETE", "OTHER")
TASK_OUTCOMES = ("success", "failure", "retry", "outage")

QUERY_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
ATTEMPT_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15)
LATENCY_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900, 3600)
TASK_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)

# --- Database ---

db_connections_active = live_gauge(
    "db_connections_active", "Open connections to the database, all processes."
)
db_query_duration_seconds = histogram(
    "db_query_duration_seconds",
    "Time of one SQL statement, by its verb, in seconds.",
    "operation",
    buckets=QUERY_BUCKETS,
)
query_durations = children(db_query_duration_seconds, OPERATIONS)
database_outages = children(
    counter(
        "amani_database_outages_total",
        "Requests answered 503 because the database was away or refused, by reason.",
        "reason",
    ),
    Reason,
)


def record_database_outage(error: BaseException | None) -> None:
    """Counts a request that `error` ended, if it is an outage of the database."""
    outage = outage_of(error)
    if outage is not None:
        database_outages[outage.reason].inc()


# --- Alerts: intake ---

alerts_received = children(
    counter("amani_alerts_received_total", "Alerts in accepted webhooks, by status.", "status"),
    ("firing", "resolved"),
)
alert_webhooks = children(
    counter("amani_alert_webhooks_total", "Webhook requests, by what became of them.", "outcome"),
    ("stored", "partial", "rejected", "failed"),
)
alert_webhook_rejections = children(
    counter(
        "amani_alert_webhook_rejections_total", "Webhooks refused or alerts set aside, by reason.", "reason"
    ),
    ("bad_token", "too_large", "not_json", "not_a_payload", "bad_encoding", "unavailable", "set_aside"),
)
alerts_with_odd_fields = counter(
    "amani_alerts_with_odd_fields_total", "Alerts stored although a field had to be converted or left out."
)
alerts_with_unknown_severity = counter(
    "amani_alerts_unknown_severity_total", "Alerts stored whose severity label says what no table knows."
)
alerts_truncated = counter(
    "amani_alerts_truncated_total", "Alerts that Alertmanager left out of stored webhooks (max_alerts)."
)


def record_alerts_received(*, firing: int = 0, resolved: int = 0) -> None:
    alerts_received["firing"].inc(firing)
    alerts_received["resolved"].inc(resolved)


def record_odd_alerts(*, odd_fields: int, unknown_severity: int) -> None:
    """How many alerts of a payload had odd fields, and a severity that is not known."""
    alerts_with_odd_fields.inc(odd_fields)
    alerts_with_unknown_severity.inc(unknown_severity)


def record_truncated_alerts(count: int) -> None:
    alerts_truncated.inc(count)


def record_webhook(outcome: str) -> None:
    alert_webhooks[outcome].inc()


def record_webhook_rejection(reason: str, count: int = 1) -> None:
    alert_webhook_rejections[reason].inc(count)


# --- Alerts: delivery ---

alert_deliveries = grid(
    counter("amani_alert_deliveries_total", "Deliveries that ended, by outcome.", "channel", "outcome"),
    CHANNELS,
    ("delivered", "superseded", "failed", "dead", "off"),
)
alert_delivery_attempts = grid(
    counter("amani_alert_delivery_attempts_total", "Requests to a vendor, by outcome.", "channel", "outcome"),
    CHANNELS,
    ("delivered", "retry", "rejected", "unknown"),
)
alert_attempt_durations = children(
    histogram(
        "amani_alert_attempt_duration_seconds",
        "Time of one request to a vendor, in seconds.",
        "channel",
        buckets=ATTEMPT_BUCKETS,
    ),
    CHANNELS,
)
alert_delivery_latencies = grid(
    histogram(
        "amani_alert_delivery_latency_seconds",
        "Time to the vendor's acceptance, since the alert's start or since its intake, in seconds.",
        "channel",
        "since",
        buckets=LATENCY_BUCKETS,
    ),
    CHANNELS,
    ("start", "intake"),
)


alert_escalations = children(
    counter("amani_alert_escalations_total", "Steps of escalation, by what became of them.", "outcome"),
    ("notified", "known", "held"),
)


def record_escalation(outcome: str) -> None:
    alert_escalations[outcome].inc()


def record_delivery(channel: str, outcome: str) -> None:
    alert_deliveries[channel, outcome].inc()


def record_attempt(
    channel: str, outcome: str, duration_seconds: float, exemplar: dict[str, str] | None = None
) -> None:
    alert_delivery_attempts[channel, outcome].inc(1, exemplar)
    alert_attempt_durations[channel].observe(duration_seconds, exemplar)


def record_delivery_latency(channel: str, *, since_start: float, since_intake: float) -> None:
    """Seconds; a start that lies in the future (clocks differ) counts as now."""
    alert_delivery_latencies[channel, "start"].observe(max(since_start, 0.0))
    alert_delivery_latencies[channel, "intake"].observe(max(since_intake, 0.0))


# --- Alerts: the periodic snapshot ---

alert_undelivered = children(
    snapshot_gauge("amani_alert_undelivered", "Deliveries planned and not ended.", "channel"), CHANNELS
)
alert_oldest_undelivered = children(
    snapshot_gauge(
        "amani_alert_oldest_undelivered_seconds",
        "Age of the oldest delivery that is due and not ended, in seconds; 0 when there is none.",
        "channel",
    ),
    CHANNELS,
)
alerts_firing = children(
    snapshot_gauge("amani_alerts_firing", "Episodes that are firing.", "severity"), SEVERITIES
)
alert_channel_flagged = children(
    snapshot_gauge(
        "amani_alert_channel_flagged", "1 while the vendor refuses this channel for good.", "channel"
    ),
    CHANNELS,
)
rules_unpublished_seconds = snapshot_gauge(
    "amani_rules_unpublished_seconds",
    "How long Prometheus has had other rules than Amani wants it to have, in seconds; 0 when it has them.",
)
watchdog_last_seen = snapshot_gauge(
    "amani_watchdog_last_seen_timestamp_seconds",
    "When the Watchdog alert last arrived, Unix time; 0 when never.",
)
snapshot_timestamp = snapshot_gauge(
    "amani_snapshot_timestamp_seconds", "When the snapshot gauges were taken, Unix time; 0 when never."
)
beat_heartbeat = snapshot_gauge(
    "amani_beat_heartbeat_timestamp_seconds",
    "When beat last was about to queue a task, Unix time; 0 when never.",
)
worker_heartbeat = snapshot_gauge(
    "amani_worker_heartbeat_timestamp_seconds",
    "When a task last went from beat through broker and worker to the database, Unix time; 0 when never.",
)


def record_backlog(channel: str, count: int, oldest_seconds: float) -> None:
    alert_undelivered[channel].set(count)
    alert_oldest_undelivered[channel].set(oldest_seconds)
    snapshot_timestamp.set(time.time())


def record_rules_unpublished(seconds: float) -> None:
    rules_unpublished_seconds.set(seconds)


def record_firing(counts: Mapping[str, int]) -> None:
    """`counts` by severity; a severity that is missing has none firing."""
    for severity, gauge in alerts_firing.items():
        gauge.set(counts.get(severity, 0))


def record_channel_flag(channel: str, flagged: bool) -> None:  # noqa: FBT001  (the gauge's own value)
    alert_channel_flagged[channel].set(flagged)


def record_watchdog_seen(timestamp: float) -> None:
    watchdog_last_seen.set(timestamp)


def record_beat_heartbeat() -> None:
    beat_heartbeat.set(time.time())


def record_worker_heartbeat(timestamp: float) -> None:
    worker_heartbeat.set(timestamp)


# --- Silences ---

SILENCE_STATES = ("wanted", "active", "ending", "failed")
silences = children(
    snapshot_gauge(
        "amani_silences", "Silences that have not ended by their state; failed: not yet ended.", "state"
    ),
    SILENCE_STATES,
)
silence_waiting_seconds = snapshot_gauge(
    "amani_silence_waiting_seconds",
    "How long the oldest change of a silence has been waiting for Alertmanager, in seconds; 0 when none is.",
)
silence_attempts = children(
    counter("amani_silence_attempts_total", "Attempts to set or expire a silence, by outcome.", "outcome"),
    ("applied", "retry", "refused"),
)


def record_silences(counts: Mapping[str, int], waiting_seconds: float) -> None:
    """`counts` by state; a state that is missing has none."""
    for state, gauge in silences.items():
        gauge.set(counts.get(state, 0))
    silence_waiting_seconds.set(waiting_seconds)


def record_silence_attempt(outcome: str) -> None:
    silence_attempts[outcome].inc()


# --- Celery ---

celery_tasks_total = counter("amani_celery_tasks_total", "Celery tasks ended.", "task", "outcome")
celery_task_duration_seconds = histogram(
    "amani_celery_task_duration_seconds",
    "Time of one run of a Celery task, in seconds.",
    "task",
    buckets=TASK_BUCKETS,
)


def show_tasks(tasks: Iterable[str]) -> None:
    """Exports every task at zero; the worker knows their names once it has started."""
    for task in tasks:
        celery_task_duration_seconds.labels(task)
        for outcome in TASK_OUTCOMES:
            celery_tasks_total.labels(task, outcome)


def record_task(
    task: str, outcome: str, duration_seconds: float, exemplar: dict[str, str] | None = None
) -> None:
    """`task` is a registered name (a closed set); `outcome` one of TASK_OUTCOMES."""
    celery_tasks_total.labels(task, outcome).inc(1, exemplar)
    celery_task_duration_seconds.labels(task).observe(duration_seconds, exemplar)


# --- Traces ---

spans_ended = counter("amani_tracing_spans_ended_total", "Sampled spans that ended.")
spans_exported = counter("amani_tracing_spans_exported_total", "Spans that the collector acknowledged.")
spans_dropped = children(
    counter("amani_tracing_spans_dropped_total", "Spans that were given up, by reason.", "reason"),
    ("queue_full", "export_failed", "exit"),
)

# --- Errors ---

sentry_events = children(
    counter("amani_sentry_events_total", "Errors and timings for Sentry, by what became of them.", "outcome"),
    ("captured", "filtered", "dropped"),
)


def record_sentry_event(outcome: str, count: int = 1) -> None:
    sentry_events[outcome].inc(count)


# --- Processes ---

process_cpu_seconds = children(
    counter(
        "amani_process_cpu_seconds_total",
        "Processor time used, by role, in seconds; processes that ended are included.",
        "role",
    ),
    ROLES,
)
