"""The rule that an alert came from: as it was then, whose version it is, and its value then and now."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from django.utils import timezone

from core.outgoing import Deadline
from observability.alerts.endings.asking import Element, NoAnswer, values
from observability.alerts.endings.conditions import Condition, conditions_of
from observability.alerts.endings.finding import expression_of
from observability.models import AlertRule, Episode, RuleChange, RulesVersion

BUDGET_SECONDS = 3.0
MOST_VALUES = 5  # of one condition: an alert that dropped labels may be of many series


class Authorship(NamedTuple):
    """Which version of the rules was in force when the alert began, and the operator's change of this rule.

    Each is None where there was none: before the first publication, and for a rule as it is shipped.
    """

    version: RulesVersion | None
    change: RuleChange | None


class Reading(NamedTuple):
    """One condition of the rule, with the values of the alert's series; none where it had none."""

    condition: Condition
    then: tuple[float, ...]
    now: tuple[float, ...]


class Measured(NamedTuple):
    """`problem` says why there are no values; "" if there are."""

    expression: str
    readings: tuple[Reading, ...]
    problem: str = ""


def authorship(rule: AlertRule, at: datetime) -> Authorship:
    """Returns who made what the rule was at that time, with two queries."""
    version = (
        RulesVersion.objects.filter(published_at__lte=at)
        .select_related("author")
        .defer("files", "replaced")
        .order_by("-published_at")
        .first()
    )
    changes = RuleChange.objects.filter(rule=rule).select_related("actor").order_by("-version")
    if version is None:
        return Authorship(None, changes.filter(at__lte=at).first())
    return Authorship(version, changes.filter(version=version.changes.get(str(rule.pk), 0)).first())


def measure(episode: Episode, rule: AlertRule | None, budget_seconds: float = BUDGET_SECONDS) -> Measured:
    """Returns the values of the alert's series when it began and now. Takes a little over `budget_seconds`.

    The expression is that with which it began, which Prometheus writes into the alert; otherwise the rule's.
    """
    expression = expression_of(episode) or (rule.expression if rule is not None else "")
    conditions = conditions_of(expression) if expression else ()
    if not conditions:
        return Measured(expression, (), "The rule compares no series with a number, so there is no value.")
    replaced = rule.labels if rule is not None else {"severity": ""}
    deadline = Deadline(budget_seconds)
    try:
        readings = [
            Reading(
                condition,
                own(values(condition.series, episode.starts_at, deadline), episode, replaced),
                own(values(condition.series, timezone.now(), deadline), episode, replaced),
            )
            for condition in conditions
        ]
    except NoAnswer:
        return Measured(expression, (), "Prometheus did not answer, so the values are not known.")
    return Measured(expression, tuple(readings))


def own(found: list[Element], episode: Episode, replaced: dict[str, str]) -> tuple[float, ...]:
    """Returns the values of the series that the alert is about."""
    mine = [element.value for element in found if element.belongs_to(episode.labels, replaced)]
    return tuple(mine[:MOST_VALUES])
