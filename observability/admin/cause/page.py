"""Collects what the alert's page shows about its cause.

Links are shown with the page, samples are loaded later.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

from django.conf import settings
from django.utils import timezone

from core.console import display
from observability.admin.cause import links, logs, samples
from observability.admin.cause.questions import Place
from observability.admin.cause.subject import Kind, Subject, subject_of
from observability.models import Episode


class Way(NamedTuple):
    """One line under "Look for the cause": a link, a command, or in `label` the reason why there is
    neither."""

    icon: str
    name: str
    label: str
    url: str = ""
    command: str = ""


def cause_context(episode: Episode) -> dict[str, Any]:
    """Returns the context of the links. It needs no query and no request."""
    subject = subject_of(episode, timezone.now())
    return {
        "window": (subject.start, subject.end),
        "ways": [traces(subject), errors(subject), dashboard(subject, episode), log_lines(subject)],
        "has_samples": settings.TRACING_ENABLED and subject.kind is not Kind.OTHER,
    }


def traces(subject: Subject) -> Way:
    if not settings.TRACING_ENABLED:
        return Way("account_tree", "Traces", "off: TRACING_ENABLED is not set")
    label = f"{'Failed' if subject.about_errors else 'Slow'} {what(subject)} in Jaeger"
    if subject.kind is Kind.OTHER:
        label = "Everything of that time in Jaeger"
    return Way("account_tree", "Traces", label, links.trace_search(subject))


def errors(subject: Subject) -> Way:
    if not settings.SENTRY_DSN:
        return Way("bug_report", "Errors", "Sentry is off: SENTRY_DSN is not set")
    url = links.error_search(subject)
    label = "Issues in Sentry" if url else "in Sentry; no link, SENTRY_URL is not set"
    return Way("bug_report", "Errors", label, url)


def dashboard(subject: Subject, episode: Episode) -> Way:
    url = links.dashboard(subject, episode)
    return Way("monitoring", "Dashboard", "At that time" if url else "none: GRAFANA_URL is not set", url)


def log_lines(subject: Subject) -> Way:
    url = links.log_search(logs.phrase_of(subject), subject.start, subject.end)
    label = "Search" if url else ""
    return Way("article", "Logs", label, url, "" if url else logs.command(subject))


def what(subject: Subject) -> str:
    """Returns the subject as words: `requests to POST /path`, `SELECT statements`, `runs of a.task`."""
    match subject.kind:
        case Kind.QUERIES:
            return f"{subject.operation} statements".strip()
        case Kind.TASKS:
            return f"runs of {subject.task}" if subject.task else "tasks"
        case Kind.DELIVERIES:
            return f"deliveries to {subject.channel}" if subject.channel else "deliveries"
    place = f"{subject.method} {subject.endpoint}".strip() if subject.endpoint else ""
    return f"requests to {place}" if place else "requests"


def samples_context(episode: Episode) -> dict[str, Any]:
    """Returns the context of the samples, from Prometheus; takes `samples.BUDGET_SECONDS` at most."""
    subject = subject_of(episode, timezone.now())
    if not settings.TRACING_ENABLED:
        return {"problem": "Tracing is off: TRACING_ENABLED is not set.", "places": [], "samples": []}
    found = samples.look(subject)
    return {
        "problem": found.problem,
        "places": [(place, amount_of(place, subject), search(place, subject)) for place in found.places],
        "samples": [row(sample) for sample in found.samples],
        "about_errors": subject.about_errors,
    }


def amount_of(place: Place, subject: Subject) -> str:
    return f"{place.amount:.0f} failed" if subject.about_errors else f"p95 {display.seconds(place.amount)}"


def search(place: Place, subject: Subject) -> str:
    return links.trace_search(replace(subject, endpoint=place.endpoint, method=place.method))


def row(sample: samples.Sample) -> dict[str, Any]:
    around = (sample.at - logs.AROUND_A_REQUEST, sample.at + logs.AROUND_A_REQUEST)
    return {
        "sample": sample,
        "took": "" if sample.seconds is None else display.seconds(sample.seconds),
        "url": links.trace_page(sample.trace_id),
        "logs_url": links.log_search(sample.request_id, *around) if sample.request_id else "",
        "command": logs.request_command(sample.request_id, sample.at),
    }
