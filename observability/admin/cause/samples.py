"""The sampled requests behind an alert: exemplars, which Prometheus keeps beside the buckets of a histogram.

An alert about the whole service names no endpoint, so the endpoints that fail most, or are slowest, are asked
for first.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from observability.admin.cause.prometheus import NoAnswer, ask
from observability.admin.cause.subject import Kind, Subject
from observability.notifiers.connection import Deadline
from observability.request_id import WELL_FORMED

BUDGET_SECONDS = 2.0
MOST_PLACES = 3
MOST_SHOWN = 6
LONGEST_WINDOW = timedelta(minutes=30)  # exemplars of longer ones would be megabytes
LONGEST_NAME = 200
MOST_SECONDS = 86_400.0
TRACE_ID = re.compile(r"(?!0{32})[0-9a-f]{32}")
STATUS = re.compile(r"[1-5][0-9]{2}")

# As in deploy/prometheus/alert_rules.yml: probes, scrapes and the webhook are not what users see.
USERS_ONLY = 'endpoint!~"/?(metrics|api/v1/(ping|health|readiness|alerts/webhook))/?"'
FAILED_ONLY = 'status=~"5.."'
# Buckets that hold what took at least a tenth of a second.
SLOW_ONLY = r'le=~"0\\.(1|25|5)|[1-9].*|\\+Inf"'


class Place(NamedTuple):
    """An endpoint, and how many of its requests failed or the p95 of its time in seconds."""

    method: str
    endpoint: str
    amount: float


class Sample(NamedTuple):
    trace_id: str
    request_id: str
    status: int | None
    seconds: float
    at: datetime
    name: str

    @property
    def failed(self) -> bool:
        return self.status is not None and self.status >= 500


@dataclass
class Found:
    """What Prometheus knows; `problem` says why that is not everything."""

    places: list[Place] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    problem: str = ""


def look(subject: Subject, budget_seconds: float = BUDGET_SECONDS) -> Found:
    """Takes no longer than `budget_seconds` and raises nothing."""
    found = Found()
    if subject.kind is Kind.OTHER:
        return found
    with Deadline(budget_seconds) as deadline:
        try:
            if subject.kind is Kind.REQUESTS and not subject.endpoint:
                found.places = worst_places(subject, deadline)
            if query := exemplar_query(subject, found.places):
                found.samples = samples_for(subject, query, deadline)
        except NoAnswer as problem:
            found.problem = str(problem)
    return found


# --- Which endpoints ---


def worst_places(subject: Subject, deadline: Deadline) -> list[Place]:
    query = failing_query(subject) if subject.about_errors else slow_query(subject)
    data = ask("query", deadline, query=query, time=f"{subject.end.timestamp():.3f}")
    rows = data.get("result") if isinstance(data, dict) else None
    places = [place for row in rows if (place := read_place(row))] if isinstance(rows, list) else []
    return sorted(places, key=lambda place: -place.amount)[:MOST_PLACES]


def failing_query(subject: Subject) -> str:
    """A counter is born with its first error, which increase() does not see: then its value counts."""
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
    job = [f"job={quoted(subject.job)}"] if subject.job else []
    return ", ".join([*job, *others])


def quoted(value: str) -> str:
    """A string of PromQL, which has the escapes of JSON's except for surrogate pairs."""
    return json.dumps(value, ensure_ascii=False)


def read_place(row: Any) -> Place | None:
    try:
        labels, amount = row["metric"], float(row["value"][1])
        method, endpoint = labels["method"], labels["endpoint"]
    except (TypeError, KeyError, IndexError, ValueError):
        return None
    if not is_name(method) or not is_name(endpoint) or not math.isfinite(amount):
        return None
    return Place(method, endpoint, amount)


def is_name(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= LONGEST_NAME and value.isprintable()


# --- Which requests ---


def exemplar_query(subject: Subject, places: list[Place]) -> str:
    """Selectors of the histogram's buckets, joined by `or`; Prometheus takes the exemplars of each."""
    slow = [] if subject.about_errors else [SLOW_ONLY]
    match subject.kind:
        case Kind.QUERIES:
            operation = [f"operation={quoted(subject.operation)}"] if subject.operation else []
            return f"db_query_duration_seconds_bucket{{{matchers(subject, *operation, *slow)}}}"
        case Kind.TASKS:
            task = [f"task={quoted(subject.task)}"] if subject.task else []
            return f"amani_celery_task_duration_seconds_bucket{{{matchers(subject, *task)}}}"
    if subject.endpoint:
        places = [Place(subject.method, subject.endpoint, 0)]
    return " or ".join(
        f"http_request_duration_seconds_bucket{{{matchers(subject, *of_place(place), *slow)}}}"
        for place in places
    )


def of_place(place: Place) -> list[str]:
    method = [f"method={quoted(place.method)}"] if place.method else []
    return [*method, f"endpoint={quoted(place.endpoint)}"]


def samples_for(subject: Subject, query: str, deadline: Deadline) -> list[Sample]:
    """At most MOST_SHOWN: the failed ones, newest first, or the slowest."""
    start = subject.start.timestamp()
    end = min(subject.end, subject.start + LONGEST_WINDOW).timestamp()
    data = ask("query_exemplars", deadline, query=query, start=f"{start:.3f}", end=f"{end:.3f}")
    samples = {sample.trace_id: sample for sample in read_samples(data, start, end)}
    if subject.about_errors:
        chosen = sorted(samples.values(), key=lambda sample: (not sample.failed, -sample.at.timestamp()))
    else:
        chosen = sorted(samples.values(), key=lambda sample: -sample.seconds)
    return chosen[:MOST_SHOWN]


def read_samples(data: Any, start: float, end: float) -> Iterator[Sample]:
    """What is an exemplar of a trace, of that time, in whatever Prometheus answered."""
    for series in data if isinstance(data, list) else []:
        if not isinstance(series, dict):
            continue
        name = name_of(series.get("seriesLabels"))
        exemplars = series.get("exemplars")
        for exemplar in exemplars if isinstance(exemplars, list) else []:
            sample = read_sample(exemplar, name)
            if sample is not None and start <= sample.at.timestamp() <= end:
                yield sample


def read_sample(exemplar: Any, name: str) -> Sample | None:
    try:
        labels = exemplar["labels"]
        trace_id, seconds = labels["trace_id"], float(exemplar["value"])
        at = datetime.fromtimestamp(float(exemplar["timestamp"]), UTC)
    except (TypeError, KeyError, ValueError, OverflowError, OSError):
        return None
    if not matches(TRACE_ID, trace_id) or not 0 <= seconds <= MOST_SECONDS:
        return None
    request_id, status = labels.get("request_id"), labels.get("status")
    return Sample(
        trace_id=trace_id,
        request_id=request_id if matches(WELL_FORMED, request_id) else "",
        status=int(status) if matches(STATUS, status) else None,
        seconds=seconds,
        at=at,
        name=name,
    )


def matches(pattern: re.Pattern[str], value: Any) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def name_of(labels: Any) -> str:
    """What the request, statement or task is called, for people."""
    if not isinstance(labels, dict):
        return ""
    parts = (labels.get(label) for label in ("method", "endpoint", "operation", "task"))
    return " ".join(str(part) for part in parts if is_name(part))
