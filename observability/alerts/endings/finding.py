"""Decides how an alert ended, by what Prometheus has loaded and measured, and stores it with the alert.

The sender of deliveries asks before it sends a resolve, outside of any transaction and no longer than
BUDGET_SECONDS for a message. The first sender that asks decides for all channels.

Alertmanager sends the same resolve for a value that is back to normal, for a target that is gone, and for a
rule that is deleted, changed or cannot be evaluated. Only the first one says that all is well.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from core.outgoing import Deadline
from observability.alerts.endings.asking import Element, LoadedRule, NoAnswer, is_number, loaded_rules, values
from observability.alerts.endings.conditions import Condition, conditions_of
from observability.alerts.endings.wording import sentence
from observability.models import AlertRule, Episode, EpisodeEvent, Heartbeat
from observability.models.episode import Ending
from observability.rules.quality import rules_of

BUDGET_SECONDS = 2.0
HEARD_WITHIN = timedelta(minutes=2)

STORE = """
UPDATE observability_episode AS known
SET ending = found.ending, ending_value = found.value, ending_condition = found.condition
FROM unnest(%(ids)s::bigint[], %(endings)s::text[], %(values)s::float8[], %(conditions)s::text[])
     AS found (id, ending, value, condition)
WHERE known.id = found.id AND known.ending = '' AND known.status = 'resolved'
RETURNING known.id
"""


class Found(NamedTuple):
    """How an alert ended. `condition`: comparison and threshold, for example `> 0.05`."""

    ending: Ending
    value: float | None = None
    condition: str = ""


def find_endings(episodes: Iterable[Episode]) -> None:
    """Finds out and stores how these alerts ended, unless it is known, and sets it on the given objects.

    Only alerts from Alertmanager that are resolved are looked at. Raises nothing when Prometheus is away.
    """
    wanted = [
        episode
        for episode in episodes
        if not episode.ending
        and episode.status == Episode.Status.RESOLVED
        and episode.source == Episode.Source.ALERTMANAGER
    ]
    if not wanted:
        return
    now = timezone.now()
    if not prometheus_was_heard(now):
        found = [Found(Ending.NO_ANSWER) for _ in wanted]
    else:
        deadline = Deadline(BUDGET_SECONDS)
        found = [ending_of(episode, deadline, now) for episode in wanted]
    store(list(zip(wanted, found, strict=True)), now)


def prometheus_was_heard(now: datetime) -> bool:
    """Whether Prometheus answered the worker lately. If not, asking it would delay every message."""
    if not settings.PROMETHEUS_URL:
        return False
    heard = Heartbeat.objects.filter(pk=Heartbeat.PROMETHEUS)
    return heard.filter(last_seen_at__gte=now - HEARD_WITHIN).exists()


def ending_of(episode: Episode, deadline: Deadline, now: datetime) -> Found:
    """Returns how one alert ended."""
    ended_at = min(episode.ends_at or now, now)
    try:
        named = [rule for rule in loaded_rules(deadline, ended_at) if rule.name == episode.alertname]
        if not named:
            return Found(Ending.RULE_GONE if is_of_this_prometheus(episode) else Ending.NO_RULE)
        makers = [rule for rule in named if rule.makes(episode.labels)]
        if not makers:
            return Found(Ending.RULE_CHANGED)
        if not any(rule.is_healthy for rule in makers):
            return Found(Ending.RULE_BROKEN)
        same = [rule for rule in makers if is_unchanged(rule, episode)]
    except NoAnswer:
        return Found(Ending.NO_ANSWER)
    try:
        found = measured((same or makers)[0], episode, ended_at, deadline)
    except NoAnswer:
        found = Found(Ending.NO_ANSWER)
    return found if same else found._replace(ending=Ending.RULE_CHANGED)


def is_of_this_prometheus(episode: Episode) -> bool:
    """Whether the rule of the alert was one that Prometheus had: one of Amani's, or its link says so.

    Others may come from a Prometheus that Amani does not ask.
    """
    addresses = {settings.PROMETHEUS_URL, settings.PROMETHEUS_PUBLIC_URL} - {""}
    return episode.generator_url.startswith(tuple(f"{url}/" for url in addresses)) or (
        AlertRule.objects.filter(name=episode.alertname, kind=AlertRule.Kind.ALERT).exists()
    )


def expression_of(episode: Episode) -> str:
    """Returns the expression with which the alert began: Prometheus writes it into the alert's link."""
    try:
        return parse_qs(urlsplit(episode.generator_url).query).get("g0.expr", [""])[0]
    except ValueError:
        return ""


def is_unchanged(rule: LoadedRule, episode: Episode) -> bool:
    """Whether the rule has the expression with which the alert began."""
    began_with = expression_of(episode)
    if began_with:
        return began_with == rule.expression
    rows: list[AlertRule] = rules_of(episode)
    return not any(row.changed_at > episode.starts_at for row in rows if row.changed_at > row.added_at)


def measured(rule: LoadedRule, episode: Episode, at: datetime, deadline: Deadline) -> Found:
    """Returns what the series of the rule say about the end of the alert. Raises NoAnswer."""
    conditions = conditions_of(rule.expression)
    if not conditions:
        return Found(Ending.NO_THRESHOLD)
    readings = [
        (condition, element)
        for condition in conditions
        for element in elements_of(condition, episode.labels, rule.labels, at, deadline)
    ]
    if not readings:
        return Found(Ending.VANISHED, condition=conditions[0].text)
    numbers = [(condition, element) for condition, element in readings if is_number(element.value)]
    if not numbers:
        return Found(Ending.NOT_MEASURED, condition=readings[0][0].text)
    over = [reading for reading in numbers if reading[0].holds(reading[1].value)]
    condition, element = (over or numbers)[0]
    ending = Ending.RECOVERED
    if over:
        ending = Ending.STILL_HOLDS if condition.is_alone else Ending.OTHER_CONDITION
    is_certain = sum(reading[0] == condition for reading in readings) == 1
    return Found(ending, element.value if is_certain else None, condition.text)


def elements_of(
    condition: Condition,
    labels: Mapping[str, str],
    replaced: Mapping[str, str],
    at: datetime,
    deadline: Deadline,
) -> list[Element]:
    found = values(condition.series, at, deadline)
    return [element for element in found if element.belongs_to(labels, replaced)]


def store(found: list[tuple[Episode, Found]], now: datetime) -> None:
    """Stores how the alerts ended, with an event for each. What another sender stored first stays."""
    parameters: dict[str, list[Any]] = {
        "ids": [episode.pk for episode, _ in found],
        "endings": [str(end.ending) for _, end in found],
        "values": [end.value for _, end in found],
        "conditions": [end.condition for _, end in found],
    }
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(STORE, parameters)
            stored = {row[0] for row in cursor.fetchall()}
        for episode, end in found:
            episode.ending, episode.ending_value, episode.ending_condition = end
        EpisodeEvent.objects.bulk_create(
            EpisodeEvent(episode=episode, at=now, kind=EpisodeEvent.Kind.ENDING, text=sentence(episode))
            for episode, _ in found
            if episode.pk in stored
        )
    for episode, _ in found:
        if episode.pk not in stored:
            episode.refresh_from_db(fields=["ending", "ending_value", "ending_condition", "status"])
