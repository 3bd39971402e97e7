"""Finds the tuning that makes shipped alerting rules those of rule files; what no file has is disabled."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import NamedTuple

from observability.alerts.errors import WrongRule
from observability.models import AlertRule, RuleChange
from observability.models.rules import SEVERITY
from observability.rules.comparing import lines_between
from observability.rules.effective import RUNBOOK, effective_rule
from observability.rules.expressions.reading import put, read
from observability.rules.expressions.scanning import is_same_text
from observability.rules.files import Group, Rule
from observability.rules.importing.agreement import Bucket, best_pairs, differences, in_buckets
from observability.rules.importing.steps import Kind, Plan, Present, Problem, Step
from observability.rules.tuning import Tuning, checked, tuning_of, without_shipped

Thresholds = Mapping[tuple[str, str], tuple[float, str]]


class Wanted(NamedTuple):
    """A tuning, and the shipped expression with its threshold; "" without one."""

    tuning: Tuning
    expression: str = ""

    def as_change(self) -> RuleChange:
        """Returns the change that tunes a rule so; it is not saved."""
        return RuleChange(kind=Kind.TUNED, expression=self.expression, **self.tuning._asdict())


class Unequal(NamedTuple):
    """Rules of one name: those here that are none of the files, and those of the files that are none here."""

    here: list[Present]
    there: list[Rule]


def plan_for_shipped(shipped: Iterable[Present], files: Iterable[Group]) -> Plan:
    """Returns what makes the shipped alerting rules those of the files. A rule that is so already keeps its
    tuning, also where another one would give the same.
    """
    plan = Plan([], [], [])
    names = unequal_rules(shipped, files)
    thresholds = thresholds_for(names)
    for here, there in names:
        wanted = best_tunings(here, there, thresholds)
        for number, each in enumerate(here):
            if number in wanted:
                add_tuning(plan, each, wanted[number])
            elif each.is_running:
                plan.steps.append(disabling(each))
    return plan


def unequal_rules(shipped: Iterable[Present], files: Iterable[Group]) -> list[Unequal]:
    here: dict[Bucket, list[Present]] = {}
    for each in shipped:
        here.setdefault(Bucket(each.row.group.name, each.row.kind, each.row.name), []).append(each)
    there = in_buckets(files)
    return [without_equal(rules, there.get(bucket, [])) for bucket, rules in here.items()]


def without_equal(here: Iterable[Present], there: Iterable[Rule]) -> Unequal:
    left = Unequal([], list(there))
    for each in here:
        same = (rule for rule in left.there if each.is_running and not differences(each.row, each.rule, rule))
        equal = next(same, None)
        if equal is None:
            left.here.append(each)
        else:
            left.there.remove(equal)
    return left


def thresholds_for(names: Iterable[Unequal]) -> Thresholds:
    """Returns, by a shipped expression and that of a file, the threshold of the file, and the shipped
    expression with it; pairs without one are left out. Two processes of the parser read all of them.
    """
    pairs = sorted(
        {
            (each.row.expression, rule.expression)
            for here, there in names
            for each, rule in product(here, there)
            if not is_same_text(each.row.expression, rule.expression)
        }
    )
    split = [(pair, reading.split) for pair, reading in zip(pairs, read([b for _, b in pairs]), strict=True)]
    found = [(pair, part.threshold) for pair, part in split if part is not None]
    changed = put([(shipped, threshold) for (shipped, _), threshold in found])
    return {
        pair: (threshold, with_it.expression)
        for (pair, threshold), with_it in zip(found, changed, strict=True)
        if not with_it.reason
    }


def best_tunings(here: Sequence[Present], there: Sequence[Rule], thresholds: Thresholds) -> dict[int, Wanted]:
    """Returns the tuning of each rule here that gets one of the files, by its place.

    Of several rules of one name, each gets the one that its tuning comes closest to.
    """
    options = {
        (first, second): tuning_for(here[first].row, there[second], thresholds)
        for first, second in product(range(len(here)), range(len(there)))
    }
    left = {
        (first, second): len(differences(row, as_tuned(row, wanted), there[second]))
        for (first, second), wanted in options.items()
        for row in (here[first].row,)
    }
    return {first: options[first, second] for first, second in best_pairs(left)}


def tuning_for(row: AlertRule, rule: Rule, thresholds: Thresholds) -> Wanted:
    """Returns the tuning that makes a shipped rule that of a file, as far as tuning can."""
    threshold, expression = thresholds.get((row.expression, rule.expression), (None, ""))
    more = {name: text for name, text in rule.labels.items() if name not in row.labels and name != SEVERITY}
    tuning = Tuning(
        threshold=threshold,
        for_seconds=rule.for_seconds,
        keep_firing_for_seconds=rule.keep_firing_for_seconds,
        severity=rule.labels.get(SEVERITY, ""),
        labels=more,
        runbook_url=rule.annotations.get(RUNBOOK, ""),
    )
    needed = without_shipped(row, tuning)
    return Wanted(needed, "" if needed.threshold is None else expression)


def as_tuned(row: AlertRule, wanted: Wanted) -> Rule:
    return effective_rule(row, wanted.as_change(), wanted.expression or None)


def add_tuning(plan: Plan, each: Present, wanted: Wanted) -> None:
    try:
        checked(each.row, wanted.tuning)
    except WrongRule as wrong:
        plan.problems.append(Problem(each.row.group.name, each.row.key, str(wrong)))
    else:
        plan.steps.append(tuning_step(each, wanted))


def disabling(each: Present) -> Step:
    """Returns the step that disables a rule. What else is tuned stays for the operator who enables it again,
    unless a release has changed the rule since.
    """
    change = each.change
    if change is None or change.base != each.row.base:
        return tuning_step(each, Wanted(Tuning(enabled=False)))
    return tuning_step(each, Wanted(tuning_of(change)._replace(enabled=False), change.expression))


def tuning_step(each: Present, wanted: Wanted) -> Step:
    row = each.row
    lines = tuple(lines_between(row, each.change, wanted.as_change()))
    values = {**wanted.tuning._asdict(), "expression": wanted.expression}
    return Step(Kind.TUNED, row.group.name, row.key, row, values, lines)
