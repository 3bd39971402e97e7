"""Every metric of this app, declared once, with the functions that record it.

Call sites pass domain values and never see labels. Labels are closed sets, so that no visitor can add
series: `endpoint` is a route template, `method` one of HTTP's, and what is neither is "unmatched" and
"OTHER". The children of closed sets are made at import: zero is shown as zero. docs/metrics.md says what
each metric is for.
"""

import time
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from django_prometheus.middleware import Metrics
from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase

from core.sqlstates import Reason, outage_of
from observability.notifiers import registry
from observability.telemetry.metrics.values import SHARED_MODE, Counter, Gauge, Histogram

REGISTRY = CollectorRegistry(auto_describe=True)

Metric = TypeVar("Metric", bound=MetricWrapperBase)

ROLES = ("web", "worker", "beat")
SEVERITIES = ("critical", "error", "warning", "info")
CHANNELS = tuple(registry.NOTIFIERS)
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})
OPERATIONS = ("SELECT", "INSERT", "UPDATE", "DELETE", "OTHER")
TASK_OUTCOMES = ("success", "failure", "retry", "outage")
MAXIMUM_ERROR_TYPES = 100

# Most answers take between 1 and 10 ms, where django-prometheus has no bucket at all.
REQUEST_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
QUERY_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
ATTEMPT_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15)
LATENCY_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900, 3600)
TASK_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class HttpMetrics(Metrics):
    """django-prometheus' metrics of one request, with the runbook's names and without its open label sets.

    The base class's own twenty metrics are not registered: their transport, template, charset and body-size
    series double the scrape and nobody asked for them.
    """

    _instance = None  # the base class caches on whichever class asked first

    def register_metric(
        self,
        metric_cls: type[Metric],
        name: str,
        documentation: str,
        labelnames: Iterable[str] = (),
        **options: Any,
    ) -> Metric:
        return metric_cls(name, documentation, labelnames, registry=REGISTRY, **options)

    def register(self) -> None:
        self.requests_total = self.register_metric(
            Counter,
            "http_requests_total",
            "HTTP requests answered, by method, route template and status.",
            ["method", "endpoint", "status"],
        )
        self.request_duration = self.register_metric(
            Histogram,
            "http_request_duration_seconds",
            "Time from a request's arrival to the end of its answer, streamed bodies included, in seconds.",
            ["method", "endpoint"],
            buckets=REQUEST_BUCKETS,
        )
        self.in_progress = self.register_metric(
            Gauge,
            "http_requests_in_progress",
            "HTTP requests being answered now.",
            multiprocess_mode="livesum",
        )
        self.errors_total = self.register_metric(
            Counter,
            "errors_total",
            "Unhandled exceptions, by class and route template.",
            ["error_type", "endpoint"],
        )


HTTP: HttpMetrics = HttpMetrics.get_instance()


def counter(name: str, documentation: str, *labels: str) -> Counter:
    return Counter(name, documentation, labels, registry=REGISTRY)


def histogram(name: str, documentation: str, *labels: str, buckets: tuple[float, ...]) -> Histogram:
    return Histogram(name, documentation, labels, registry=REGISTRY, buckets=buckets)


def snapshot_gauge(name: str, documentation: str, *labels: str) -> Gauge:
    """A gauge that any process may set for all of them; the newest setting is what a scrape shows."""
    return Gauge(name, documentation, labels, registry=REGISTRY, multiprocess_mode=SHARED_MODE)


def children(metric: Metric, labels: Iterable[str]) -> dict[str, Metric]:
    return {label: metric.labels(label) for label in labels}


def grid(metric: Metric, first: Iterable[str], second: Iterable[str]) -> dict[tuple[str, str], Metric]:
    seconds = tuple(second)
    return {(one, two): metric.labels(one, two) for one in first for two in seconds}


# --- Requests ---

requests_by_label: dict[tuple[str | None, str | None, int], Counter] = {}
durations_by_label: dict[tuple[str | None, str | None], Histogram] = {}


def endpoint_label(route: str | None) -> str:
    return "unmatched" if route is None else "/" + route.removeprefix("^")


def request_counter(method: str | None, route: str | None, status: int) -> Counter:
    """The child for an answer, on its first use; `requests_by_label` has it from then on.

    Odd methods share one child and get no entry in the dictionary, which would grow with them.
    """
    child: Counter
    if method in METHODS:
        child = HTTP.requests_total.labels(method, endpoint_label(route), str(status))
        requests_by_label[method, route, status] = child
    else:
        child = HTTP.requests_total.labels("OTHER", endpoint_label(route), str(status))
    return child


def request_histogram(method: str | None, route: str | None) -> Histogram:
    """As `request_counter`, for `durations_by_label`."""
    child: Histogram
    if method in METHODS:
        child = HTTP.request_duration.labels(method, endpoint_label(route))
        durations_by_label[method, route] = child
    else:
        child = HTTP.request_duration.labels("OTHER", endpoint_label(route))
    return child


error_types: set[str] = set()


def record_error(exception: BaseException, route: str | None, exemplar: dict[str, str] | None = None) -> None:
    name = type(exception).__name__
    if name not in error_types and len(error_types) >= MAXIMUM_ERROR_TYPES:
        name = "other"  # a library that makes classes at run time must not make series
    error_types.add(name)
    HTTP.errors_total.labels(name, endpoint_label(route)).inc(1, exemplar)


# --- Database ---

db_connections_active = Gauge(
    "db_connections_active",
    "Open connections to the database, all processes.",
    registry=REGISTRY,
    multiprocess_mode="livesum",
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


# --- Business, recorded by the apps that own the facts ---

escrow_transactions_total = counter(
    "escrow_transactions_total", "Escrow transactions, by type and status.", "type", "status"
)

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
