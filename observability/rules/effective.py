"""The rules as Prometheus should run them: the shipped ones as tuned, and the operators' own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import groupby

from observability.models import AlertRule, RuleChange
from observability.rules.files import Group, Rule

RUNBOOK = "runbook_url"
SEVERITY = "severity"


def effective_groups() -> list[Group]:
    """Returns the groups to run, in order, with two queries. Disabled rules, and groups without any rule, are
    left out.
    """
    rows = AlertRule.objects.filter(removed_at=None).select_related("group")
    tunings = newest_changes()
    groups = []
    for group, of_group in groupby(rows, key=lambda row: row.group):
        rules = tuple(effective_rules(of_group, tunings))
        if rules:
            groups.append(Group(group.name, group.file, group.interval_seconds, group.limit, rules))
    return groups


def newest_changes(rules: Iterable[AlertRule] | None = None) -> dict[int, RuleChange]:
    """Returns the newest change of each rule that has one, by the rule's id; of all rules without `rules`."""
    changes = RuleChange.objects.order_by("rule_id", "-version").distinct("rule_id")
    if rules is not None:
        changes = changes.filter(rule__in=[rule.pk for rule in rules])
    return {change.rule_id: change for change in changes}


def effective_rules(rows: Iterable[AlertRule], tunings: Mapping[int, RuleChange]) -> Iterable[Rule]:
    for row in rows:
        change = tunings.get(row.pk)
        if change is None or change.enabled is not False:
            yield effective_rule(row, change)


def effective_rule(row: AlertRule, change: RuleChange | None) -> Rule:
    """Returns the rule as `change` tunes it; without one, as it is."""
    shipped = Rule(row.key, AlertRule.Kind(row.kind), **row.definition)
    if change is None or change.kind != RuleChange.Kind.TUNED:
        return shipped
    return shipped._replace(
        expression=effective_expression(row, change),
        for_seconds=either(change.for_seconds, row.for_seconds),
        keep_firing_for_seconds=either(change.keep_firing_for_seconds, row.keep_firing_for_seconds),
        labels={
            **(change.labels or {}),
            **row.labels,
            **({SEVERITY: change.severity} if change.severity else {}),
        },
        annotations={**row.annotations, **({RUNBOOK: change.runbook_url} if change.runbook_url else {})},
    )


def effective_expression(row: AlertRule, change: RuleChange) -> str:
    """Returns the expression with the tuned threshold.

    When a release has changed the expression since, its own threshold holds: the tuned one was for another.
    """
    was_tuned = change.threshold is not None and change.base["expression"] == row.expression
    return change.expression if was_tuned else row.expression


def either(tuned: float | None, shipped: float) -> float:
    return shipped if tuned is None else tuned
