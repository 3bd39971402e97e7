"""Makes the question of a preview: the rule as Prometheus should run it, and when Prometheus evaluates it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from django.utils import timezone

from core.outgoing import Deadline
from observability.alerts.prometheus import NoAnswer, ask
from observability.models import AlertRule, RulePreview
from observability.rules.effective import effective_rule, newest_changes, tuned_expressions
from observability.rules.expressions.reading import read
from observability.rules.files import Rule
from observability.rules.preview.errors import CannotPreview
from observability.rules.preview.question import Parts, Question, parts_of
from observability.rules.preview.replay import Condition
from observability.rules.quality import severities_of

SECONDS = 5.0
USUAL_INTERVAL_SECONDS = 60.0  # Prometheus's default
NEWEST_SECONDS = 600.0  # a group that was evaluated longer ago is no longer evaluated


class Present(NamedTuple):
    """A rule as it should run now, shipped and tuned. `threshold` is None where it has none, for `reason`."""

    rule: Rule
    comparison: str
    threshold: float | None
    reason: str
    changed_at: datetime

    @property
    def condition(self) -> Condition:
        return self.with_values(self.threshold, self.rule.for_seconds, self.rule.keep_firing_for_seconds)

    def with_values(
        self, threshold: float | None, for_seconds: float, keep_firing_for_seconds: float
    ) -> Condition:
        if self.threshold is None or threshold is None:
            return Condition("", 0.0, for_seconds, keep_firing_for_seconds)
        return Condition(self.comparison, threshold, for_seconds, keep_firing_for_seconds)


def present_of(row: AlertRule) -> Present:
    change = newest_changes([row]).get(row.pk)
    tuned = tuned_expressions([row], {} if change is None else {row.pk: change})
    return Present(
        rule=effective_rule(row, change, tuned.get(row.pk)),
        comparison=row.comparison,
        threshold=change.threshold if change is not None and row.pk in tuned else row.threshold,
        reason=row.unsplit_because,
        changed_at=row.changed_at if change is None else max(row.changed_at, change.at),
    )


def question_of(preview: RulePreview, row: AlertRule) -> Question:
    """Returns what is to be computed. Raises CannotPreview when Prometheus does not say how it evaluates."""
    present = present_of(row)
    interval, evaluated_at = schedule_of(row.group.name, row.group.interval_seconds)
    return Question(
        alertname=row.name,
        labels=row.fixed_labels,
        severities=tuple(severities_of([row])[row.pk]),
        labels_of_rule=tuple(present.rule.labels),
        parts=read_parts(present),
        present=present.condition,
        proposed=present.with_values(preview.threshold, preview.for_seconds, preview.keep_firing_for_seconds),
        days=preview.days,
        interval_seconds=interval,
        evaluated_at=evaluated_at,
        changed_at=present.changed_at,
    )


def read_parts(present: Present) -> Parts:
    """Returns what of the expression is compared. Raises CannotPreview when the parser does not say."""
    if present.threshold is None:
        return Parts("", (present.rule.expression,))
    [reading] = read([present.rule.expression])
    if reading.split is None:
        raise CannotPreview(f"The expression could not be split at its threshold: {reading.reason}.")
    return parts_of(reading.split.series, reading.split.also)


def schedule_of(group: str, interval: float | None) -> tuple[float, float]:
    """Returns how often Prometheus evaluates the group (seconds), and when it last did.

    For a group that it has not loaded: the interval of its file or of another group, and now.
    """
    now = timezone.now().timestamp()
    groups = loaded_groups()
    found = next((one for one in groups if one.name == group), None)
    if found is not None and 0 <= now - found.evaluated_at < NEWEST_SECONDS:
        return found.interval, found.evaluated_at
    interval = interval or min((one.interval for one in groups), default=USUAL_INTERVAL_SECONDS)
    return interval, now - now % interval


class Evaluated(NamedTuple):
    """A group of rules that Prometheus has loaded. `interval`: seconds; `evaluated_at`: since 1970."""

    name: str
    interval: float
    evaluated_at: float


def loaded_groups() -> list[Evaluated]:
    try:
        groups = ask("rules", Deadline(SECONDS), type="alert", limit_bytes=32 * 1024 * 1024)["groups"]
        return [Evaluated(str(one["name"]), float(one["interval"]), seconds_at(one)) for one in groups]
    except NoAnswer as problem:
        raise CannotPreview(f"{problem} {problem.reason}".strip()) from None
    except (TypeError, KeyError, ValueError):
        raise CannotPreview("Prometheus gave a response of an unknown form.") from None


def seconds_at(group: Any) -> float:
    return datetime.fromisoformat(group["lastEvaluation"]).timestamp()
