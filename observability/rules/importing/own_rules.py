"""Finds what makes the operators' own rules those of the group `operators` in rule files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django.utils import timezone

from observability.alerts.errors import WrongRule
from observability.models import AlertRule
from observability.models.rules import OPERATORS
from observability.rules.comparing import NO_RULE, definition_lines
from observability.rules.expressions.lints import Level
from observability.rules.expressions.reading import facts_of, read
from observability.rules.files import Group, Rule, key_of
from observability.rules.importing.agreement import differences
from observability.rules.importing.steps import Kind, Plan, Present, Problem, Step
from observability.rules.own import (
    Own,
    columns_with,
    lints_with,
    own_of,
    refuse_errors,
    require_sense,
)

Edit = tuple[Present | None, Rule]  # the own rule, None for one that is added, and what it is to be


def plan_for_own(own_rules: Iterable[Present], files: Iterable[Group]) -> Plan:
    """Returns what makes the operators' rules those of the files. Asks Prometheus about those that change, as
    own.py does.
    """
    here = {each.row.key: each for each in own_rules}
    there: dict[str, Rule] = {}
    for rule in (rule for group in files if group.name == OPERATORS for rule in group.rules):
        if rule.kind == AlertRule.Kind.ALERT:
            there.setdefault(key_of(rule.name, rule.labels), rule)
    edits = [(here.get(key), rule) for key, rule in there.items()]
    plan = plan_for_edits([(each, rule) for each, rule in edits if each is None or differs(each, rule)])
    gone = [each for key, each in here.items() if key not in there and each.is_running]
    plan.steps.extend(ending(each) for each in gone)
    return plan


def differs(each: Present, rule: Rule) -> bool:
    return not each.is_running or bool(differences(each.row, each.rule, rule))


def plan_for_edits(edits: Iterable[Edit]) -> Plan:
    """Returns the steps for rules that pass what own.py checks. Asks the parser twice, for all of them."""
    plan = Plan([], [], [])
    sane: list[tuple[Present | None, Own]] = []
    for each, rule in edits:
        wanted = own_of(rule)
        try:
            require_sense(wanted)
        except WrongRule as wrong:
            plan.problems.append(Problem(OPERATORS, rule.key, str(wrong)))
        else:
            sane.append((each, wanted))
    expressions = [wanted.expression for _, wanted in sane]
    for (each, wanted), reading, facts in zip(sane, read(expressions), facts_of(expressions), strict=True):
        lints = lints_with(wanted, facts)
        try:
            refuse_errors(lints)
        except WrongRule as wrong:
            plan.problems.append(Problem(OPERATORS, wanted.key, str(wrong)))
            continue
        plan.steps.append(edit_step(each, columns_with(wanted, reading)))
        warnings = (lint.text for lint in lints if lint.level is Level.WARNING)
        plan.warnings.extend(Problem(OPERATORS, wanted.key, text) for text in warnings)
    return plan


def edit_step(each: Present | None, columns: Mapping[str, Any]) -> Step:
    key = columns["key"]
    if each is None:
        before = {**NO_RULE, "name": columns["name"]}
        return Step(Kind.CREATED, OPERATORS, key, None, columns, tuple(definition_lines(before, columns)))
    lines = tuple(definition_lines(each.row.definition, columns))
    return Step(Kind.EDITED, OPERATORS, key, each.row, {**columns, "removed_at": None}, lines)


def ending(each: Present) -> Step:
    return Step(Kind.ENDED, OPERATORS, each.row.key, each.row, {"removed_at": timezone.now()})
