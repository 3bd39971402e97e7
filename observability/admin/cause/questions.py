"""Builds the PromQL queries for an alert: which endpoints are affected, and which series have exemplars.

An alert about errors uses the counters of failures: so each sample is a failure, and a rare failure is not
overwritten by a success. An alert about slowness uses the buckets of histograms, which have the duration.
"""

from __future__ import annotations

import json
from typing import NamedTuple

from observability.admin.cause.subject import Kind, Subject

MOST_PLACES = 3

# As in the rules of deploy/prometheus/: without probes, scrapes and the webhook, which users do not see.
USERS_ONLY = 'endpoint!~"/?(metrics|api/v1/(ping|health|readiness|alerts/webhook))/?"'
FAILED_ONLY = 'status=~"5.."'
FAILED_TASKS = 'outcome="failure"'
FAILED_ATTEMPTS = 'outcome!="delivered"'
# Buckets of durations of at least a tenth of a second.
SLOW_ONLY = r'le=~"0\\.(1|25|5)|[1-9].*|\\+Inf"'


class Place(NamedTuple):
    """An endpoint, and how many of its requests failed or the p95 of its time in seconds."""

    method: str
    endpoint: str
    amount: float


# --- Which endpoints ---


def failing_query(subject: Subject) -> str:
    """Returns the query for the endpoints with the most failed requests.

    increase() ignores the first value of a series that appears with its first error; there the value itself
    is used.
    """
    errors = f"http_requests_total{{{matchers(subject, USERS_ONLY, FAILED_ONLY)}}}"
    window = f"{seconds_of(subject)}s"
    grown = (
        f"(max_over_time({errors}[{window}]) unless {errors} offset {window}) or increase({errors}[{window}])"
    )
    return f"topk({MOST_PLACES}, sum by (method, endpoint) ({grown}) > 0)"


def slow_query(subject: Subject) -> str:
    buckets = f"http_request_duration_seconds_bucket{{{matchers(subject, USERS_ONLY)}}}"
    rate = f"sum by (method, endpoint, le) (rate({buckets}[{seconds_of(subject)}s]))"
    return f"topk({MOST_PLACES}, histogram_quantile(0.95, {rate}) > 0)"


def seconds_of(subject: Subject) -> int:
    return int((subject.end - subject.start).total_seconds())


def matchers(subject: Subject, *others: str) -> str:
    return ", ".join([*equal("job", subject.job), *others])


def quoted(value: str) -> str:
    """Returns a string literal of PromQL. Its escapes are those of JSON, except for surrogate pairs."""
    return json.dumps(value, ensure_ascii=False)


# --- Which exemplars ---


def exemplar_query(subject: Subject, places: list[Place]) -> str:
    """Returns selectors joined by `or`; Prometheus returns the exemplars of each."""
    match subject.kind:
        case Kind.QUERIES:
            return query_selector(subject)
        case Kind.TASKS | Kind.DELIVERIES:
            return task_selector(subject)
    if subject.endpoint:
        places = [Place(subject.method, subject.endpoint, 0)]
    return " or ".join(request_selector(subject, place) for place in places)


def query_selector(subject: Subject) -> str:
    """Returns the selector of statements.

    Also for errors, because no counter has exemplars of failed ones.
    """
    slow = [] if subject.about_errors else [SLOW_ONLY]
    wanted = matchers(subject, *equal("operation", subject.operation), *slow)
    return f"db_query_duration_seconds_bucket{{{wanted}}}"


def task_selector(subject: Subject) -> str:
    task = equal("task", subject.task)
    if not subject.about_errors:
        return f"amani_celery_task_duration_seconds_bucket{{{matchers(subject, *task)}}}"
    if subject.kind is Kind.TASKS:
        return f"amani_celery_tasks_total{{{matchers(subject, *task, FAILED_TASKS)}}}"
    # The task of a failed attempt ends successfully: it stores when to retry.
    channel = equal("channel", subject.channel)
    return f"amani_alert_delivery_attempts_total{{{matchers(subject, *channel, FAILED_ATTEMPTS)}}}"


def request_selector(subject: Subject, place: Place) -> str:
    where = [*equal("method", place.method), *equal("endpoint", place.endpoint)]
    if subject.about_errors:
        return f"http_requests_total{{{matchers(subject, *where, FAILED_ONLY)}}}"
    return f"http_request_duration_seconds_bucket{{{matchers(subject, *where, SLOW_ONLY)}}}"


def equal(label: str, value: str) -> list[str]:
    return [f"{label}={quoted(value)}"] if value else []
