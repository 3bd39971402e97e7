"""Builds addresses of traces, errors, dashboards and log lines for one alert; "" for a tool that is off."""

from __future__ import annotations

import json
from datetime import datetime
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from django.conf import settings

from observability.admin.cause.subject import Kind, Subject
from observability.alerts.intake.annotations import dashboard_of
from observability.models import Episode
from observability.notifiers.links import safe_url

MOST_TRACES = 20
# The shortest duration to search for in an alert about slowness; the limits of the rules are a little higher.
SLOW = {Kind.REQUESTS: "500ms", Kind.QUERIES: "250ms"}


def milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def stamp(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S}"


def trace_search(subject: Subject) -> str:
    """Returns the address of Jaeger's search page.

    Source of its parameters: jaeger-ui, SearchTracePage/SearchForm (times in microseconds).
    """
    if not settings.TRACING_ENABLED:
        return ""
    parameters = {
        "service": settings.SERVICE_NAME,
        "lookback": "custom",
        "start": str(milliseconds(subject.start) * 1000),
        "end": str(milliseconds(subject.end) * 1000),
        "limit": str(MOST_TRACES),
    }
    if tags := tags_of(subject):
        parameters["tags"] = json.dumps(tags, ensure_ascii=False, separators=(",", ":"))
    if not subject.about_errors and subject.kind in SLOW:
        parameters["minDuration"] = SLOW[subject.kind]
    return with_parameters(f"{settings.JAEGER_URL}/search", parameters)


def tags_of(subject: Subject) -> dict[str, str]:
    """Returns attributes that one span of each trace must have, all of them."""
    tags = {
        "http.route": subject.endpoint if subject.endpoint.startswith("/") else "",  # not "unmatched"
        "http.request.method": subject.method if subject.endpoint else "",
        "db.operation.name": subject.operation if subject.kind is Kind.QUERIES else "",
        "celery.task_name": subject.task,
        "error": "true" if subject.about_errors else "",
    }
    return {name: value for name, value in tags.items() if value}


def trace_page(trace_id: str) -> str:
    """Returns the address of a trace. `trace_id` must be hexadecimal digits."""
    return safe_url(f"{settings.JAEGER_URL}/trace/{quote(trace_id, safe='')}")


def error_search(subject: Subject) -> str:
    """Returns the address of Sentry's list of issues.

    Parameters in SENTRY_URL are kept, except its period.
    """
    if not settings.SENTRY_URL:
        return ""
    own = dict(parse_qsl(settings.SENTRY_URL.partition("?")[2]))
    transaction = subject.endpoint or subject.task
    where = f'transaction:"{escaped_for_sentry(transaction)}"' if transaction else ""
    query = f"{own.get('query', '')} {where}".strip()
    parameters = {"start": stamp(subject.start), "end": stamp(subject.end), "utc": "true"}
    if "environment" not in own:
        parameters["environment"] = settings.ENVIRONMENT
    if query:
        parameters["query"] = query
    return with_parameters(settings.SENTRY_URL, parameters, without="statsPeriod")


def escaped_for_sentry(value: str) -> str:
    """Returns `value` escaped for a quoted term; an asterisk would be a wildcard."""
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("*", "\\*")


def dashboard(subject: Subject, episode: Episode) -> str:
    """Returns the address of the rule's own dashboard, else GRAFANA_URL, at the alert's time."""
    own = safe_url(dashboard_of(episode.annotations))
    address = own or settings.GRAFANA_URL
    if not address:
        return ""
    parameters = {"from": str(milliseconds(subject.start)), "to": str(milliseconds(subject.end))}
    if subject.endpoint and not own:
        parameters["var-endpoint"] = subject.endpoint
    return with_parameters(address, parameters)


def log_search(words: str, start: datetime, end: datetime) -> str:
    """Returns LOGS_URL with `words` as a quoted phrase, which every log store understands."""
    if not settings.LOGS_URL:
        return ""
    escaped = words.replace("\\", "\\\\").replace('"', '\\"')
    values = {
        "{query}": f'"{escaped}"',
        "{start}": f"{stamp(start)}Z",
        "{end}": f"{stamp(end)}Z",
        "{start_ms}": str(milliseconds(start)),
        "{end_ms}": str(milliseconds(end)),
    }
    address = settings.LOGS_URL
    for place, value in values.items():
        address = address.replace(place, quote(value, safe=""))
    return safe_url(address)


def with_parameters(address: str, parameters: dict[str, str], *, without: str = "") -> str:
    """Returns `address` with `parameters` in its query; they replace those of the same name."""
    try:
        parts = urlsplit(address)
    except ValueError:  # a broken IPv6 address in a setting
        return ""
    own = [
        pair
        for pair in parse_qsl(parts.query, keep_blank_values=True)
        if pair[0] not in parameters and pair[0] != without
    ]
    query = urlencode([*own, *parameters.items()], quote_via=quote)
    return safe_url(urlunsplit(parts._replace(query=query)))
