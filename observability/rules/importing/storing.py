"""Stores what makes the rules those of rule files, if they are the same afterwards; else nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.db import transaction

from core.constraints import constraints_as
from observability.alerts.errors import CannotImport, RuleChangedMeanwhile, RuleFileWrong
from observability.models import AlertRule, RuleChange, RulesVersion
from observability.rules import changing, own
from observability.rules.effective import effective_rule, groups_with, newest_changes, tuned_expressions
from observability.rules.files import Group, read_groups
from observability.rules.importing.agreement import problems_between
from observability.rules.importing.own_rules import plan_for_own
from observability.rules.importing.shipped import plan_for_shipped
from observability.rules.importing.steps import Imported, Kind, Plan, Present, Problem, Step
from observability.rules.publication import NothingToPublish, publish

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser


def changed_meanwhile() -> RuleChangedMeanwhile:
    return RuleChangedMeanwhile("the rules")


RACES = {
    "changes_of_a_rule_have_their_own_version": changed_meanwhile,
    "rules_of_a_group_have_their_own_key": changed_meanwhile,
}


def import_rules(
    folder: Path, *, actor: AbstractBaseUser, reason: str, is_dry: bool = False, publishing: bool = False
) -> Imported:
    """Makes the rules that should run those of the rule files of `folder`, and returns what that changed.

    Each change has this author and reason. `is_dry`: nothing is stored. `publishing`: the rules are published
    with them, unless they are already. Raises MayNotTune, ReasonMissing, RuleFileWrong, CannotImport,
    RuleChangedMeanwhile, and what `publish` raises; then nothing is stored.
    """
    changing.require(actor, reason)
    files = groups_of(folder)
    present = present_rules()
    plan = plan_for(present, files)
    with constraints_as(RACES), transaction.atomic():
        store(plan.steps, present, actor, reason)
        require_agreement(files, plan.problems)
        version = published(actor, reason) if publishing else None
        if is_dry:
            transaction.set_rollback(True)
    return Imported(plan.steps, plan.warnings, version)


def groups_of(folder: Path) -> list[Group]:
    """Returns the groups of the files. Raises RuleFileWrong, also for a file that its name keeps from being
    read: its rules would be disabled.
    """
    unread = min(folder.glob("*.yaml"), default=None)
    if unread is not None:
        raise RuleFileWrong(unread.name, "only files whose names end in .yml are read. Rename it")
    return read_groups(folder)


def present_rules() -> list[Present]:
    rows = list(AlertRule.objects.select_related("group"))
    changes = newest_changes()
    expressions = tuned_expressions(rows, changes)
    pairs = [(row, changes.get(row.pk)) for row in rows]
    return [
        Present(row, change, effective_rule(row, change, expressions.get(row.pk))) for row, change in pairs
    ]


def plan_for(present: Iterable[Present], files: Sequence[Group]) -> Plan:
    own_rules, shipped = [], []
    for each in present:
        if each.row.is_own:
            own_rules.append(each)
        elif each.row.kind == AlertRule.Kind.ALERT and each.row.removed_at is None:
            shipped.append(each)
    return plan_for_shipped(shipped, files).with_all_of(plan_for_own(own_rules, files))


def store(steps: Iterable[Step], seen: Iterable[Present], actor: AbstractBaseUser, reason: str) -> None:
    """Stores the changes. Raises RuleChangedMeanwhile unless all rules still are as they were seen.

    Locks all rules, in the order of `revert`, so that no operator changes one meanwhile.
    """
    changing.wait_for_others()
    rows = AlertRule.objects.select_related("group").select_for_update(of=("self",)).order_by("pk")
    rules = {row.pk: row for row in rows}
    changes = newest_changes()
    now = {pk: state_of(row, changes.get(pk)) for pk, row in rules.items()}
    if now != {each.row.pk: state_of(each.row, each.change) for each in seen}:
        raise changed_meanwhile()
    for step in steps:
        if step.row is None:
            own.added(step.values, actor, reason)
            continue
        rule, version = rules[step.row.pk], version_of(changes.get(step.row.pk))
        if step.kind == Kind.TUNED:
            changing.append(rule, step.kind, actor, reason, version + 1, **step.values)
        else:
            own.saved(rule, step.kind, actor, reason, version, step.values)


def state_of(row: AlertRule, change: RuleChange | None) -> tuple[Any, ...]:
    return row.base, row.removed_at, version_of(change)


def version_of(change: RuleChange | None) -> int:
    return change.version if change else 0


def require_agreement(files: Sequence[Group], known: Sequence[Problem]) -> None:
    """Raises CannotImport unless the rules that should run now are those of the files.

    `known`: the problems of rules that have no step because of them, so what differs there is not said again.
    """
    rows = list(AlertRule.objects.filter(removed_at=None).select_related("group"))
    named = {(problem.group, problem.rule) for problem in known}
    differing = problems_between(rows, groups_with(rows, newest_changes()), files)
    problems = [*known, *(each for each in differing if (each.group, each.rule) not in named)]
    if problems:
        raise CannotImport([str(problem) for problem in problems])


def published(actor: AbstractBaseUser, reason: str) -> RulesVersion | None:
    try:
        return publish(author=actor, reason=reason)
    except NothingToPublish:
        return None
