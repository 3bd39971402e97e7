"""Adds, edits and ends the operators' own rules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from core.constraints import constraints_as
from observability.alerts.errors import CannotTune, WrongRule
from observability.models import AlertRule, RuleChange, RuleGroup
from observability.models.episode import Severity
from observability.models.rules import OPERATORS, SCOPE, SEVERITY
from observability.rules import changing
from observability.rules.effective import RUNBOOK
from observability.rules.expressions.judging import judge
from observability.rules.expressions.lints import Level, Lint, lint_facts
from observability.rules.expressions.reading import Facts, Reading, facts_of, read
from observability.rules.files import Rule, key_of
from observability.rules.sync import columns_of

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser

FILE = "operators.yml"
LONGEST_NAME = 200
LONGEST_EXPRESSION = 10_000
LONGEST_TEXT = 2_000
SERVICE = "service"


class Own(NamedTuple):
    """An own rule. `labels` without its severity; `runbook_url` "" for none."""

    name: str
    expression: str
    for_seconds: float
    keep_firing_for_seconds: float
    severity: str
    labels: Mapping[str, str]
    summary: str
    description: str
    runbook_url: str

    @property
    def key(self) -> str:
        """Returns what identifies it among the own rules."""
        return key_of(self.name, self.labels)


def own_of(rule: AlertRule | Rule) -> Own:
    """Returns what an own rule says. What a rule of a file says beyond that is left out."""
    return Own(
        name=rule.name,
        expression=rule.expression,
        for_seconds=rule.for_seconds,
        keep_firing_for_seconds=rule.keep_firing_for_seconds,
        severity=rule.labels.get(SEVERITY, ""),
        labels={name: value for name, value in rule.labels.items() if name != SEVERITY},
        summary=rule.annotations.get("summary", ""),
        description=rule.annotations.get("description", ""),
        runbook_url=rule.annotations.get(RUNBOOK, ""),
    )


def create_rule(*, own: Own, actor: AbstractBaseUser, reason: str) -> AlertRule:
    """Adds a rule to the group of the operators, and returns it.

    Raises MayNotTune, ReasonMissing or WrongRule, also for a name and scope that the group has.
    """
    changing.require(actor, reason)
    columns = columns_from(own)
    refuse_errors(lints_of(own))
    taken = WrongRule({"name": [taken_text(own)]})
    with constraints_as({"rules_of_a_group_have_their_own_key": lambda: taken}), transaction.atomic():
        return added(columns, actor, reason)


def edit_rule(
    *, rule_id: int, own: Own, actor: AbstractBaseUser, reason: str, seen_version: int
) -> AlertRule:
    """Changes a rule of the operators, or begins an ended one again, and returns it.

    Raises MayNotTune, ReasonMissing, CannotTune, WrongRule or RuleChangedMeanwhile; then nothing is stored.
    """
    changing.require(actor, reason)
    columns = columns_from(own)
    refuse_errors(lints_of(own))
    errors = {
        **changing.RACES,
        "rules_of_a_group_have_their_own_key": lambda: WrongRule({"name": [taken_text(own)]}),
    }
    with constraints_as(errors), transaction.atomic():
        rule = locked(rule_id, seen_version)
        refuse_unchanged(rule, own)
        return saved(
            rule, RuleChange.Kind.EDITED, actor, reason, seen_version, {**columns, "removed_at": None}
        )


def refuse_unchanged(rule: AlertRule, own: Own) -> None:
    """Raises CannotTune if the rule of the operators is this one already, and has not ended."""
    if rule.removed_at is None and own_of(rule) == own:
        raise CannotTune(changing.NOTHING_DIFFERS)


def end_rule(*, rule_id: int, actor: AbstractBaseUser, reason: str, seen_version: int) -> AlertRule:
    """Ends a rule of the operators; its row stays, for the alerts that it caused. Raises as `edit_rule`."""
    changing.require(actor, reason)
    with constraints_as(changing.RACES), transaction.atomic():
        rule = locked(rule_id, seen_version)
        if rule.removed_at is not None:
            raise CannotTune("The rule has ended already.")
        ended = {"removed_at": timezone.now()}
        return saved(rule, RuleChange.Kind.ENDED, actor, reason, seen_version, ended)


def operators_group() -> RuleGroup:
    group, _ = RuleGroup.objects.get_or_create(name=OPERATORS, defaults={"file": FILE})
    return group


def added(columns: Mapping[str, Any], actor: AbstractBaseUser, reason: str) -> AlertRule:
    """Adds a rule in the transaction of the caller, who expects that its name is taken."""
    group = operators_group()
    last = group.rules.aggregate(last=Max("position"))["last"]
    rule = AlertRule.objects.create(
        group=group, position=0 if last is None else last + 1, kind=AlertRule.Kind.ALERT, **columns
    )
    changing.append(rule, RuleChange.Kind.CREATED, actor, reason, 1)
    return rule


def locked(rule_id: int, seen_version: int) -> AlertRule:
    rule = AlertRule.objects.select_for_update(of=("self",)).select_related("group").get(pk=rule_id)
    if not rule.is_own:
        raise CannotTune("A release ships this rule: tune it instead.")
    changing.require_seen(changing.newest(rule), seen_version)
    return rule


def saved(
    rule: AlertRule,
    kind: RuleChange.Kind,
    actor: AbstractBaseUser,
    reason: str,
    seen_version: int,
    values: Mapping[str, Any],
) -> AlertRule:
    for name, value in {**values, "changed_at": timezone.now()}.items():
        setattr(rule, name, value)
    rule.save()
    changing.append(rule, kind, actor, reason, seen_version + 1)
    return rule


def columns_from(own: Own) -> dict[str, Any]:
    """Returns the columns of the rule, with its split. Raises WrongRule, also for what Prometheus refuses."""
    require_sense(own)
    [reading] = read([own.expression])
    return columns_with(own, reading)


def columns_with(own: Own, reading: Reading) -> dict[str, Any]:
    """Returns the columns of a rule whose expression was read."""
    texts = {"summary": own.summary, "description": own.description, RUNBOOK: own.runbook_url}
    return {
        "key": own.key,
        "name": own.name,
        "expression": own.expression,
        "for_seconds": own.for_seconds,
        "keep_firing_for_seconds": own.keep_firing_for_seconds,
        "labels": {SEVERITY: own.severity, **own.labels},
        "annotations": {name: text for name, text in texts.items() if text},
        **columns_of(reading),
    }


def lints_of(own: Own) -> list[Lint]:
    """Returns what is likely to be wrong with the rule; with an error it is not saved."""
    [facts] = facts_of([own.expression])
    return lints_with(own, facts)


def lints_with(own: Own, facts: Facts | str) -> list[Lint]:
    texts = [own.summary, own.description, own.runbook_url, *own.labels.values()]
    return lint_facts(own.expression, facts, texts)


def refuse_errors(lints: Iterable[Lint]) -> None:
    """Raises WrongRule with the findings that are errors."""
    fields: dict[str, list[str]] = {}
    for found in lints:
        if found.level is Level.ERROR:
            fields.setdefault(found.field, []).append(found.text)
    if fields:
        raise WrongRule(fields)


def taken_text(own: Own) -> str:
    return (
        f"There is an own rule {own.key} already, perhaps an ended one: edit that, or give this one "
        f"another name or another label {SCOPE}."
    )


def require_sense(own: Own) -> None:
    """Raises WrongRule, which names each field that is wrong."""
    is_name = changing.is_label_name(own.name) if own.name else False
    problems: dict[str, list[str]] = {
        "name": [] if is_name else ["Use letters, digits and _, for example QueueTooLong."],
        "expression": wrong_expression(own.expression),
        "for_seconds": changing.wrong_seconds(own.for_seconds),
        "keep_firing_for_seconds": changing.wrong_seconds(own.keep_firing_for_seconds),
        "severity": [] if own.severity in Severity.values else ["Choose a severity."],
        "labels": changing.wrong_labels(own.labels),
        "summary": [] if own.summary.strip() else ["Say in a line what is wrong when it fires."],
        "runbook_url": changing.wrong_url(own.runbook_url),
    }
    if found := {name: texts for name, texts in problems.items() if texts}:
        raise WrongRule(found)


def wrong_expression(expression: str) -> list[str]:
    """Returns why the expression cannot be used: Prometheus says so. Without its answer nothing is wrong."""
    if not expression.strip():
        return ["Enter an expression."]
    if len(expression) > LONGEST_EXPRESSION:
        return [f"At most {LONGEST_EXPRESSION:,} characters."]
    verdict = judge(expression)
    return [f"Prometheus refuses it: {verdict.error}"] if verdict.is_valid is False else []
