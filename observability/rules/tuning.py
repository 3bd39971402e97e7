"""Tunes a shipped rule. What is not tuned stays as the release ships it, also the next one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from django.db import transaction

from core.constraints import constraints_as
from observability.alerts.errors import CannotTune, RuleChangedMeanwhile, WrongRule
from observability.models import AlertRule, RuleChange
from observability.models.episode import Severity
from observability.rules import changing
from observability.rules.effective import RUNBOOK
from observability.rules.expressions.reading import put

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser


class Tuning(NamedTuple):
    """Each value that is None, or an empty text, is as shipped. Times in seconds."""

    threshold: float | None = None
    for_seconds: float | None = None
    keep_firing_for_seconds: float | None = None
    severity: str = ""
    enabled: bool | None = None
    labels: Mapping[str, str] | None = None
    runbook_url: str = ""


NOTHING = Tuning()


def tuning_of(change: RuleChange | None) -> Tuning:
    if change is None:
        return NOTHING
    return Tuning(**{name: getattr(change, name) for name in Tuning._fields})


def tune(
    *, rule_id: int, tuning: Tuning, actor: AbstractBaseUser, reason: str, seen_version: int
) -> RuleChange:
    """Stores the whole tuning of a rule, and returns the change.

    `seen_version` is the version of the newest change that the operator has seen, 0 without one. Raises
    MayNotTune, ReasonMissing, CannotTune, WrongRule or RuleChangedMeanwhile; then nothing is stored.
    """
    changing.require(actor, reason)
    rule = changing.rule_named(rule_id)
    wanted = checked(rule, tuning)
    expression = expression_with(rule, wanted.threshold)
    with constraints_as(changing.RACES), transaction.atomic():
        locked = AlertRule.objects.select_for_update(of=("self",)).select_related("group").get(pk=rule_id)
        change = changing.newest(locked)
        changing.require_seen(change, seen_version)
        if locked.definition != rule.definition:  # a release was installed meanwhile
            raise RuleChangedMeanwhile
        refuse_unchanged(locked, change, wanted)
        return changing.append(
            locked,
            RuleChange.Kind.TUNED,
            actor,
            reason,
            seen_version + 1,
            expression=expression,
            **wanted._asdict(),
        )


def refuse_unchanged(rule: AlertRule, change: RuleChange | None, wanted: Tuning) -> None:
    """Raises CannotTune if the tuning holds already, for the rule as this release ships it."""
    if tuning_of(change) == wanted and (change is None or change.base == rule.base):
        raise CannotTune(changing.NOTHING_DIFFERS)


def checked(rule: AlertRule, tuning: Tuning) -> Tuning:
    """Returns the tuning without values that are the shipped ones. Raises CannotTune or WrongRule."""
    if rule.is_own or rule.kind != AlertRule.Kind.ALERT:
        raise CannotTune("Only alerting rules that a release ships are tuned.")
    if rule.removed_at is not None:
        raise CannotTune("This release no longer ships the rule.")
    wanted = without_shipped(rule, tuning)
    problems: dict[str, list[str]] = {
        "threshold": wrong_threshold(rule, wanted.threshold),
        "for_seconds": changing.wrong_seconds(wanted.for_seconds),
        "keep_firing_for_seconds": changing.wrong_seconds(wanted.keep_firing_for_seconds),
        "severity": [] if wanted.severity in ("", *Severity.values) else ["Amani knows no such severity."],
        "labels": changing.wrong_labels(wanted.labels or {}, rule.labels),
        "runbook_url": changing.wrong_url(wanted.runbook_url),
    }
    if found := {name: texts for name, texts in problems.items() if texts}:
        raise WrongRule(found)
    return wanted


def wrong_threshold(rule: AlertRule, threshold: float | None) -> list[str]:
    if threshold is None:
        return []
    if rule.threshold is None:
        return [f"The expression has no threshold to replace: {rule.unsplit_because}."]
    return [] if math.isfinite(threshold) else ["Enter a number."]


def without_shipped(rule: AlertRule, tuning: Tuning) -> Tuning:
    shipped: dict[str, Any] = {
        "threshold": rule.threshold,
        "for_seconds": rule.for_seconds,
        "keep_firing_for_seconds": rule.keep_firing_for_seconds,
        "severity": rule.severity,
        "enabled": True,
        "labels": {},
        "runbook_url": rule.annotations.get(RUNBOOK, ""),
    }
    same = {name for name, value in tuning._asdict().items() if value == shipped[name]}
    return tuning._replace(**{name: NOTHING._asdict()[name] for name in same})


def expression_with(rule: AlertRule, threshold: float | None) -> str:
    """Returns the expression with this threshold; "" without one. Raises WrongRule."""
    if threshold is None:
        return ""
    [changed] = put([(rule.expression, threshold)])
    if changed.reason:
        raise WrongRule({"threshold": [f"It cannot be put into the expression: {changed.reason}."]})
    return changed.expression
