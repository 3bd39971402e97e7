"""Says in words what a change of a rule changed, and what a release has changed since."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from observability.models import AlertRule, RuleChange
from observability.models.rules import SEVERITY
from observability.rules.effective import RUNBOOK
from observability.rules.files import number_text
from observability.rules.render import duration_text

AS_SHIPPED = "as shipped"
NONE = "—"
NAMES = {
    "threshold": "threshold",
    "for_seconds": "for",
    "keep_firing_for_seconds": "keep firing for",
    "severity": "severity",
    "enabled": "state",
    "labels": "more labels",
    "runbook_url": "runbook",
}

NO_RULE: Mapping[str, Any] = {  # what a rule is compared with that is added
    "name": "",
    "expression": "",
    "for_seconds": 0.0,
    "keep_firing_for_seconds": 0.0,
    "labels": {},
    "annotations": {},
}


class Line(NamedTuple):
    what: str
    before: str
    after: str


class Step(NamedTuple):
    """A change with what it changed."""

    change: RuleChange
    lines: tuple[Line, ...]


class Side(NamedTuple):
    """One value of a rule, shipped and tuned; `tuned` is "" where it is not."""

    name: str
    what: str
    shipped: str
    tuned: str


def sides(rule: AlertRule, change: RuleChange | None) -> list[Side]:
    """Returns the shipped and the tuned values of a rule, in the order of the page."""
    shipped = {
        "threshold": f"{rule.comparison} {number_text(rule.threshold)}"
        if rule.threshold is not None
        else NONE,
        "for_seconds": duration_text(rule.for_seconds),
        "keep_firing_for_seconds": duration_text(rule.keep_firing_for_seconds),
        "severity": rule.severity or NONE,
        "enabled": "enabled",
        "labels": NONE,
        "runbook_url": rule.annotations.get(RUNBOOK, NONE),
    }
    tuned = {} if change is None else {name: getattr(change, name) for name in RuleChange.VALUES}
    return [
        Side(name, NAMES[name], shipped[name], text_of(name, tuned.get(name), rule.comparison, ""))
        for name in RuleChange.VALUES
    ]


def steps(rule: AlertRule, changes: Sequence[RuleChange]) -> list[Step]:
    """Returns the newest changes, which come newest first, each with what differs from the one before."""
    before = [*changes[1:], None][: len(changes)]
    return [
        Step(change, tuple(lines_between(rule, earlier, change)))
        for change, earlier in zip(changes, before, strict=True)
    ]


def lines_between(rule: AlertRule, before: RuleChange | None, after: RuleChange) -> Iterator[Line]:
    if after.kind == RuleChange.Kind.TUNED:
        for name in RuleChange.VALUES:
            old, new = value_of(before, name), value_of(after, name)
            if old != new:
                yield Line(
                    NAMES[name],
                    text_of(name, old, rule.comparison, AS_SHIPPED),
                    text_of(name, new, rule.comparison, AS_SHIPPED),
                )
    elif before is not None:
        yield from definition_lines(before.base, after.base)


def definition_lines(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Line]:
    """Yields what differs between what a rule said and says."""
    for name, what in (("name", "name"), ("expression", "expression")):
        if before[name] != after[name]:
            yield Line(what, before[name], after[name])
    for name in ("for_seconds", "keep_firing_for_seconds"):
        if before[name] != after[name]:
            yield Line(NAMES[name], duration_text(before[name]), duration_text(after[name]))
    for group, what in (("labels", "label {}"), ("annotations", "{}")):
        for name in sorted(before[group].keys() | after[group].keys()):
            if before[group].get(name) != after[group].get(name):
                shown = name if name in (SEVERITY, RUNBOOK) else what.format(name)
                yield Line(shown, before[group].get(name, NONE), after[group].get(name, NONE))


def changed_by_release(rule: AlertRule, change: RuleChange | None) -> list[Line]:
    """Returns what releases changed in a shipped rule since it was tuned."""
    if change is None or change.kind != RuleChange.Kind.TUNED:
        return []
    return list(definition_lines(change.base, rule.definition))


def text_of(name: str, value: Any, comparison: str, unset: str) -> str:
    if value is None or value in ("", {}):
        return unset
    match name:
        case "threshold":
            return f"{comparison} {number_text(value)}"
        case "for_seconds" | "keep_firing_for_seconds":
            return duration_text(value)
        case "enabled":
            return "enabled" if value else "disabled"
        case "labels":
            return ", ".join(f"{label}={text}" for label, text in sorted(value.items()))
    return str(value)


def value_of(change: RuleChange | None, name: str) -> Any:
    """Returns a tuned value; None where it is as shipped."""
    value = getattr(change, name, None)
    return None if value in ("", {}) else value
