"""Finds out what an alert is about, and its time, from its labels and the expression of its rule.

The shipped rules name no endpoint (they fire for the whole service), so the expression decides between
requests, queries, tasks and the deliveries of alerts. Labels and expression are not trusted: they only
select, and are never executed or shown unescaped.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from urllib.parse import unquote_plus

from observability.models import Episode

BEFORE = timedelta(minutes=5)
AFTER = timedelta(minutes=1)
LONGEST = timedelta(hours=6)  # counted from the start, where the cause is
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
LONGEST_VALUE = 200
WEBHOOK = "/api/v1/alerts/webhook"


class Kind(StrEnum):
    REQUESTS = "requests"
    QUERIES = "queries"
    TASKS = "tasks"
    DELIVERIES = "deliveries"
    OTHER = "other"


# Patterns in a rule's name or expression; the first that matches decides.
PATTERNS = (
    (Kind.QUERIES, re.compile(r"db_query_duration")),
    (Kind.TASKS, re.compile(r"amani_celery_")),
    (Kind.DELIVERIES, re.compile(r"amani_alert_(deliver|attempt|undelivered|oldest|channel)")),
    (Kind.REQUESTS, re.compile(r"http_request|amani_http_|errors_total|amani_database_failures")),
    (Kind.REQUESTS, re.compile(r"amani_alert_webhook|amani_process_|ErrorRate|ResponseTime|Latency")),
)
ERRORS = re.compile(r"error|fail|5\.\.", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Subject:
    """What an alert is about.

    `start` and `end` limit the search. A text is "" where the alert does not say.
    """

    kind: Kind
    about_errors: bool
    start: datetime
    end: datetime
    endpoint: str = ""
    method: str = ""
    operation: str = ""
    task: str = ""
    channel: str = ""
    job: str = ""

    @property
    def is_of_worker(self) -> bool:
        return self.kind in {Kind.TASKS, Kind.DELIVERIES}


def subject_of(episode: Episode, now: datetime) -> Subject:
    labels = {name: plain(value) for name, value in episode.labels.items()}
    rule = f"{episode.alertname} {unquote_plus(episode.generator_url)}"
    start, end = window_of(episode, now)
    return Subject(
        kind=kind_of(labels, rule),
        about_errors=bool(ERRORS.search(rule)) or labels.get("status", "").startswith("5"),
        start=start,
        end=end,
        endpoint=first_of(labels, "endpoint", "path", "handler") or endpoint_in(rule),
        method=labels.get("method", ""),
        operation=labels.get("operation", ""),
        task=labels.get("task", ""),
        channel=labels.get("channel", ""),
        job=labels.get("job", ""),
    )


def plain(value: str) -> str:
    """Returns `value`, or "" when it cannot be the name of an endpoint, a task or a job."""
    return value if len(value) <= LONGEST_VALUE and value.isprintable() else ""


def first_of(labels: dict[str, str], *names: str) -> str:
    return next((labels[name] for name in names if labels.get(name)), "")


def endpoint_in(rule: str) -> str:
    return WEBHOOK if "amani_alert_webhook" in rule else ""


def kind_of(labels: dict[str, str], rule: str) -> Kind:
    if first_of(labels, "endpoint", "path", "handler"):
        return Kind.REQUESTS
    if labels.get("task"):
        return Kind.TASKS
    return next((kind for kind, pattern in PATTERNS if pattern.search(rule)), Kind.OTHER)


def window_of(episode: Episode, now: datetime) -> tuple[datetime, datetime]:
    """Returns the time from BEFORE the alert's start to AFTER its end.

    Times that make no sense are corrected.
    """
    began = min(max(episode.starts_at, EARLIEST), now)
    ended = episode.ends_at or episode.resolved_at
    if ended is None:
        ended = now if episode.status == Episode.Status.FIRING else began
    start = began - BEFORE
    return start, min(max(began, min(ended, now)) + AFTER, start + LONGEST)
