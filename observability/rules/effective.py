"""The rules as Prometheus should run them: the shipped ones as tuned, and the operators' own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import groupby

from django.db.models import OuterRef, Subquery

from observability.models import AlertRule, RuleChange
from observability.models.rules import SEVERITY
from observability.rules.expressions.reading import put
from observability.rules.files import Group, Rule, number_text
from observability.rules.render import duration_text

RUNBOOK = "runbook_url"
THRESHOLD = "threshold"
DESCRIPTION = "description"


def effective_groups() -> list[Group]:
    """Returns the groups to run, in order, with two queries. Disabled rules, and groups without any rule, are
    left out.
    """
    rows = list(AlertRule.objects.filter(removed_at=None).select_related("group"))
    return groups_with(rows, newest_changes())


def groups_with(rows: list[AlertRule], changes: Mapping[int, RuleChange]) -> list[Group]:
    """Returns the groups of these rules, in their order, as `changes` tune them, by the rule's id."""
    expressions = tuned_expressions(rows, changes)
    groups = []
    for group, of_group in groupby(rows, key=lambda row: row.group):
        rules = tuple(
            effective_rule(row, changes.get(row.pk), expressions.get(row.pk))
            for row in of_group
            if not is_disabled(changes.get(row.pk))
        )
        if rules:
            groups.append(Group(group.name, group.file, group.interval_seconds, group.limit, rules))
    return groups


def newest_changes(rules: Iterable[AlertRule] | None = None) -> dict[int, RuleChange]:
    """Returns the newest change of each rule that has one, by the rule's id; of all rules without `rules`."""
    rows = AlertRule.objects.order_by()
    if rules is not None:
        rows = rows.filter(pk__in=[rule.pk for rule in rules])
    # DISTINCT ON would read every change of every rule; this is a look into the index for each rule.
    of_rule = RuleChange.objects.filter(rule=OuterRef("pk")).order_by("-version")
    newest = rows.values_list(Subquery(of_rule.values("pk")[:1]))
    return {change.rule_id: change for change in RuleChange.objects.filter(pk__in=newest).order_by()}


def effective_of(row: AlertRule, change: RuleChange | None) -> Rule:
    """Returns one rule as it should run if it is not disabled."""
    expressions = tuned_expressions([row], {} if change is None else {row.pk: change})
    return effective_rule(row, change, expressions.get(row.pk))


def as_effective(rows: Iterable[AlertRule]) -> list[AlertRule]:
    """Returns the rules, not to be saved, with the values that Prometheus should have, with one query."""
    rows = list(rows)
    changes = newest_changes(rows)
    expressions = tuned_expressions(rows, changes)
    for row in rows:
        change = changes.get(row.pk)
        rule = effective_rule(row, change, expressions.get(row.pk))
        row.expression, row.labels, row.annotations = (
            rule.expression,
            dict(rule.labels),
            dict(rule.annotations),
        )
        row.for_seconds, row.keep_firing_for_seconds = rule.for_seconds, rule.keep_firing_for_seconds
        if change is not None:
            row.changed_at = max(row.changed_at, change.at)
    return rows


def is_disabled(change: RuleChange | None) -> bool:
    return change is not None and change.enabled is False


def effective_rule(row: AlertRule, change: RuleChange | None, expression: str | None) -> Rule:
    """Returns the rule as `change` tunes it. `expression` has the tuned threshold; None without one."""
    rule = Rule(row.key, AlertRule.Kind(row.kind), **row.definition)
    if change is None or change.kind != RuleChange.Kind.TUNED:
        return rule._replace(annotations=annotations_of(row, rule, row.threshold, ""))
    tuned = rule._replace(
        expression=expression or row.expression,
        for_seconds=either(change.for_seconds, row.for_seconds),
        keep_firing_for_seconds=either(change.keep_firing_for_seconds, row.keep_firing_for_seconds),
        labels={
            **(change.labels or {}),
            **row.labels,
            **({SEVERITY: change.severity} if change.severity else {}),
        },
    )
    threshold = row.threshold if expression is None else change.threshold
    return tuned._replace(annotations=annotations_of(row, tuned, threshold, change.runbook_url))


def annotations_of(row: AlertRule, rule: Rule, threshold: float | None, runbook: str) -> dict[str, str]:
    """Returns the annotations, with the threshold that the expression has.

    The description was written for the shipped rule and may name its numbers, so it says what is tuned.
    """
    annotations = dict(row.annotations)
    if threshold is not None:
        annotations[THRESHOLD] = f"{row.comparison} {number_text(threshold)}"
    if runbook:
        annotations[RUNBOOK] = runbook
    tuned = []
    if threshold != row.threshold:
        tuned.append(
            f"{annotations[THRESHOLD]} instead of {row.comparison} {number_text(row.threshold or 0)}"
        )
    if rule.for_seconds != row.for_seconds:
        tuned.append(f"for {duration_text(rule.for_seconds)} instead of {duration_text(row.for_seconds)}")
    if tuned:
        annotations[DESCRIPTION] = (
            f"{row.annotations.get(DESCRIPTION, '')} Tuned: {', '.join(tuned)}.".lstrip()
        )
    return annotations


def tuned_expressions(rows: Iterable[AlertRule], changes: Mapping[int, RuleChange]) -> dict[int, str]:
    """Returns the expression of each rule whose threshold is tuned, by the rule's id.

    Where a release has changed the expression since, the number is put into the new one, with one process for
    all. Where that is not possible, or the new one compares in another way, the shipped threshold holds.
    """
    found: dict[int, str] = {}
    upgraded: list[tuple[int, str, float]] = []
    for row in rows:
        change = changes.get(row.pk)
        if change is None or change.threshold is None:
            continue
        if change.base["expression"] == row.expression:
            found[row.pk] = change.expression
        elif change.base["comparison"] == row.comparison:
            upgraded.append((row.pk, row.expression, change.threshold))
    changed = put([(expression, threshold) for _, expression, threshold in upgraded])
    again = zip(upgraded, changed, strict=True)
    return found | {pk: put_back.expression for (pk, _, _), put_back in again if not put_back.reason}


def either(tuned: float | None, shipped: float) -> float:
    return shipped if tuned is None else tuned
