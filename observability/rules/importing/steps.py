"""Defines what an import sees, plans and returns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from observability.models import AlertRule, RuleChange, RulesVersion
from observability.rules.comparing import Line
from observability.rules.effective import is_disabled
from observability.rules.files import Rule

Kind = RuleChange.Kind


class Present(NamedTuple):
    """A rule before the import. `rule`: as it should run, if it is neither disabled nor ended."""

    row: AlertRule
    change: RuleChange | None
    rule: Rule

    @property
    def is_running(self) -> bool:
        return self.row.removed_at is None and not is_disabled(self.change)


class Step(NamedTuple):
    """A change of one rule. `row`: None for one that is added; `values`: the columns that are stored."""

    kind: RuleChange.Kind
    group: str
    key: str
    row: AlertRule | None
    values: Mapping[str, Any]
    lines: tuple[Line, ...] = ()

    @property
    def what(self) -> str:
        """Returns what becomes of the rule, in a word or two."""
        match self.kind:
            case Kind.CREATED:
                return "added"
            case Kind.EDITED:
                return "begun again" if self.row is not None and self.row.removed_at else "edited"
        return str(self.kind)


class Problem(NamedTuple):
    """Something about a rule of the files, named by its key, or about its group if `rule` is empty."""

    group: str
    rule: str
    text: str

    def __str__(self) -> str:
        return ": ".join(filter(None, self))


class Plan(NamedTuple):
    """`problems`: of rules that cannot be what the files say, and have no step. `warnings`: what is likely to
    be wrong with own rules.
    """

    steps: list[Step]
    problems: list[Problem]
    warnings: list[Problem]

    def with_all_of(self, other: Plan) -> Plan:
        return Plan(self.steps + other.steps, self.problems + other.problems, self.warnings + other.warnings)


class Imported(NamedTuple):
    """What was changed; after a dry run, what would be. `version`: what the worker publishes, if asked to."""

    steps: list[Step]
    warnings: list[Problem]
    version: RulesVersion | None = None
