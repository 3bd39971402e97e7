"""Reads the sampled requests behind an alert: exemplars, which Prometheus stores with counters and
histograms.

An alert about the whole service names no endpoint. For it, the endpoints with the most failures, or the
slowest ones, are queried first.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from core.outgoing import Deadline
from core.request_id import WELL_FORMED
from observability.admin.cause.questions import MOST_PLACES, Place, exemplar_query, failing_query, slow_query
from observability.admin.cause.subject import Kind, Subject
from observability.alerts.prometheus import NoAnswer, ask

BUDGET_SECONDS = 2.0
MOST_SHOWN = 6
LONGEST_WINDOW = timedelta(minutes=30)  # exemplars of longer ones would be megabytes
LONGEST_NAME = 200
MOST_SECONDS = 86_400.0
TRACE_ID = re.compile(r"(?!0{32})[0-9a-f]{32}")


class Sample(NamedTuple):
    """One exemplar. One of a bucket has the duration in `seconds`; one of a counter has `ended` instead."""

    trace_id: str
    request_id: str
    ended: str  # the status of a response, the outcome of a task or of a delivery attempt; else ""
    seconds: float | None
    at: datetime
    name: str


@dataclass
class Found:
    """What Prometheus returned. `problem` says why something is missing; "" if nothing is."""

    places: list[Place] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    problem: str = ""


def look(subject: Subject, budget_seconds: float = BUDGET_SECONDS) -> Found:
    """Returns the samples for `subject`. Takes no longer than `budget_seconds` and raises nothing."""
    found = Found()
    if subject.kind is Kind.OTHER:
        return found
    deadline = Deadline(budget_seconds)
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


def samples_for(subject: Subject, query: str, deadline: Deadline) -> list[Sample]:
    """Returns at most MOST_SHOWN samples: the newest failures, or the slowest requests."""
    start = subject.start.timestamp()
    end = min(subject.end, subject.start + LONGEST_WINDOW).timestamp()
    data = ask("query_exemplars", deadline, query=query, start=f"{start:.3f}", end=f"{end:.3f}")
    samples = {sample.trace_id: sample for sample in read_samples(data, start, end)}
    chosen = sorted(samples.values(), key=by_time if subject.about_errors else by_duration, reverse=True)
    return chosen[:MOST_SHOWN]


def by_time(sample: Sample) -> datetime:
    return sample.at


def by_duration(sample: Sample) -> float:
    return sample.seconds or 0.0


def read_samples(data: Any, start: float, end: float) -> Iterator[Sample]:
    """Yields the exemplars of traces between `start` and `end`; ignores anything else in the response."""
    for series in data if isinstance(data, list) else []:
        if not isinstance(series, dict):
            continue
        labels, exemplars = series.get("seriesLabels"), series.get("exemplars")
        for exemplar in exemplars if isinstance(exemplars, list) else []:
            sample = read_sample(exemplar, labels if isinstance(labels, dict) else {})
            if sample is not None and start <= sample.at.timestamp() <= end:
                yield sample


def read_sample(exemplar: Any, series: dict[str, Any]) -> Sample | None:
    """Returns the sample of an exemplar, or None if it is unusable. `series`: the labels of its series."""
    try:
        labels = exemplar["labels"]
        trace_id, value = labels["trace_id"], float(exemplar["value"])
        at = datetime.fromtimestamp(float(exemplar["timestamp"]), UTC)
    except (TypeError, KeyError, ValueError, OverflowError, OSError):
        return None
    if not matches(TRACE_ID, trace_id) or not 0 <= value <= MOST_SECONDS:
        return None
    request_id = labels.get("request_id")
    return Sample(
        trace_id=trace_id,
        request_id=request_id if matches(WELL_FORMED, request_id) else "",
        ended=words_of(series, "status", "outcome"),
        seconds=value if "le" in series else None,
        at=at,
        name=words_of(series, "method", "endpoint", "operation", "task", "channel"),
    )


def matches(pattern: re.Pattern[str], value: Any) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def words_of(series: dict[str, Any], *labels: str) -> str:
    """Returns the values of the labels as text: `POST /path`, `a.task`, `500`."""
    return " ".join(series[label] for label in labels if is_name(series.get(label)))
