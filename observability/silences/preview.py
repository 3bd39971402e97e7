"""Says what a silence would hide now, and what it would have hidden in the last week."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db import DataError
from django.db.models import F, Func, QuerySet, TextField, Value
from django.db.models.functions import Coalesce

from observability.alerts.intake.payload import ALERTNAME_LIMIT
from observability.models import Episode
from observability.silences import alertmanager
from observability.silences.alertmanager import NoAnswer, Refused
from observability.silences.limits import TooExpensive, limited_statement
from observability.silences.matchers import BadMatchers, Matcher, anchored

WEEK = timedelta(days=7)
MOST_LOOKED_AT = 100_000  # of the newest alerts of the week
MOST_SHOWN = 20


class Hidden(NamedTuple):
    """An alert that would be hidden. `episode` is None for one that Amani has not received."""

    name: str
    labels: str
    is_silenced: bool
    episode: Episode | None


class Now(NamedTuple):
    total: int
    first: list[Hidden]
    problem: str = ""


class Week(NamedTuple):
    """`is_cut`: older alerts of the week were not looked at."""

    total: int = 0
    newest: Sequence[Episode] = ()
    is_cut: bool = False
    problem: str = ""


class Preview(NamedTuple):
    """`problem` says why something is missing; "" when nothing is."""

    now: Now
    week: Week


def preview(matchers: list[Matcher], now: datetime) -> Preview:
    """Returns what `matchers` hide. Raises BadMatchers for what Alertmanager refuses."""
    return Preview(hidden_now(matchers), hidden_last_week(matchers, now))


def hidden_now(matchers: list[Matcher]) -> Now:
    """Returns what Alertmanager has; while it is away, what fires here."""
    try:
        alerts = alertmanager.alerts(matchers)
    except Refused as problem:
        raise BadMatchers(str(problem)) from problem
    except NoAnswer as problem:
        return firing_here(matchers, f"{problem} These fire as far as Amani knows.")
    fingerprints = [alert["fingerprint"] for alert in alerts]
    known = {row.fingerprint: row for row in firing().filter(fingerprint__in=fingerprints)}
    shown = [hidden(alert, known.get(alert["fingerprint"])) for alert in alerts[:MOST_SHOWN]]
    return Now(len(alerts), shown)


def firing() -> QuerySet[Episode]:
    """Selects the firing alerts that Alertmanager can silence: not those of Amani itself."""
    return Episode.objects.filter(status=Episode.Status.FIRING, source=Episode.Source.ALERTMANAGER)


def firing_here(matchers: list[Matcher], problem: str) -> Now:
    try:
        with limited_statement():
            found = matching(firing(), matchers).order_by("-starts_at")
            count, rows = found.count(), list(found[:MOST_SHOWN])
    except (TooExpensive, DataError) as expensive:
        return Now(0, [], f"{problem} {expensive}")
    shown = [hidden({"labels": row.labels, "status": {}}, row) for row in rows]
    return Now(count, shown, problem)


def hidden(alert: dict[str, Any], episode: Episode | None) -> Hidden:
    labels: dict[str, str] = alert["labels"]
    others = ", ".join(f"{name}={value}" for name, value in sorted(labels.items()) if name != "alertname")
    is_silenced = bool((alert.get("status") or {}).get("silencedBy"))
    return Hidden(labels.get("alertname", "(no alertname)"), others, is_silenced, episode)


def hidden_last_week(matchers: list[Matcher], now: datetime) -> Week:
    """Returns the alerts of the history that began in the last seven days."""
    week = Episode.objects.filter(starts_at__gte=now - WEEK)
    newest = week.order_by("-starts_at", "-id")
    try:
        with limited_statement():
            edge = list(newest.values_list("starts_at", flat=True)[MOST_LOOKED_AT : MOST_LOOKED_AT + 1])
            looked_at = newest.filter(starts_at__gt=edge[0]) if edge else newest
            found = matching(looked_at.filter(source=Episode.Source.ALERTMANAGER), matchers)
            shown = list(found.defer("annotations", "generator_url")[:MOST_SHOWN])
            return Week(found.order_by().count(), shown, bool(edge))
    except (TooExpensive, DataError) as problem:
        return Week(problem=str(problem))


def matching(episodes: QuerySet[Episode], matchers: Iterable[Matcher]) -> QuerySet[Episode]:
    """Selects what all of `matchers` match; a label that is missing counts as empty."""
    for number, matcher in enumerate(matchers):
        alias = f"matched_{number}"
        episodes = episodes.alias(**{alias: label(matcher.name)})
        if matcher.is_regex:
            condition = {f"{alias}__regex": anchored(matcher.value)}
        else:
            condition = {alias: matcher.value}
        episodes = episodes.filter(**condition) if matcher.is_equal else episodes.exclude(**condition)
        if matcher.operator == "=" and matcher.name == "alertname" and matcher.value:
            episodes = episodes.filter(alertname=matcher.value[:ALERTNAME_LIMIT])  # it has an index
    return episodes


def label(name: str) -> Coalesce:
    text = Func(F("labels"), Value(name), function="jsonb_extract_path_text", output_field=TextField())
    return Coalesce(text, Value(""), output_field=TextField())
