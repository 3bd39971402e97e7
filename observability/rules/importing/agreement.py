"""Says whether the rules as they should run are those of rule files, rule for rule, and what differs.

The order of rules, groups and files does not count, nor do space, comments and the writing of numbers in an
expression. `effective.py` adds an annotation `threshold` to rules, and a sentence "Tuned: …" to descriptions:
a file may have both as Amani writes them, as an exported one does, or leave them out, as one written by hand
does. Another text there is a difference: it would say what is not so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from observability.models import AlertRule
from observability.models.rules import OPERATORS, SCOPE, SEVERITY
from observability.rules.comparing import NONE, Line, definition_lines
from observability.rules.effective import DESCRIPTION, RUNBOOK, THRESHOLD
from observability.rules.expressions.scanning import is_same_text
from observability.rules.files import Group, Kind, Rule
from observability.rules.importing.steps import Problem
from observability.rules.render import duration_text

EXPRESSION_STAYS = (
    "Of a shipped expression only the threshold can be another one, written as one number. Leave the rule "
    f"out, which disables it, and add one of your own to the group {OPERATORS}; or change what is shipped."
)
RECORD_STAYS = "What a release records stays: change the files, or what is shipped."
LABEL_STAYS = "A label that the release gives keeps its value; others can be added."
TEXT_STAYS = "Of the texts of a shipped rule only the runbook can be another one."
RUNBOOK_STAYS = "A shipped runbook can be another one, but not be removed."
WRITTEN_BY_AMANI = "Amani writes it from the expression: leave it out."
SENTENCE_BY_AMANI = (
    "Amani adds the sentence *Tuned: …* itself: leave it out. The text before it stays as shipped."
)
OWN_TEXTS = f"A rule of the group {OPERATORS} has a summary, a description and a runbook_url."
NOT_SHIPPED = (
    "This release ships no such rule, or no other one of this name: move it to the group "
    f"{OPERATORS}, or leave it out."
)
NOT_OWN = f"The group {OPERATORS} has alerting rules only, and two of one name need a label {SCOPE}."
MISSING = "The files lack it. Only alerting rules can be disabled: put it in."
GROUP_STAYS = "What a release says about a group stays: change the files, or what is shipped."
OWN_GROUP_STAYS = f"The group {OPERATORS} has neither interval nor limit: take it out."


class Bucket(NamedTuple):
    """What the rules here and in the files have in common that may be the same."""

    group: str
    kind: str
    name: str


def differences(row: AlertRule, here: Rule, wanted: Rule) -> list[Line]:
    """Returns what differs between a rule as it should run, whose row is `row`, and that of a file."""
    return list(definition_lines(here._asdict(), written_as(here, wanted, row)._asdict()))


def written_as(here: Rule, wanted: Rule, row: AlertRule) -> Rule:
    """Returns the rule of a file, written as the one here is, where both say the same."""
    same: dict[str, Any] = {}
    if is_same_text(here.expression, wanted.expression):
        same["expression"] = here.expression
    for name in ("for_seconds", "keep_firing_for_seconds"):
        if duration_text(getattr(here, name)) == duration_text(getattr(wanted, name)):
            same[name] = getattr(here, name)
    left_out = {
        name: here.annotations[name]
        for name in (THRESHOLD, DESCRIPTION)
        if name in here.annotations and wanted.annotations.get(name) == row.annotations.get(name)
    }
    return wanted._replace(**same, annotations={**wanted.annotations, **left_out})


def best_pairs(costs: Mapping[tuple[int, int], int]) -> list[tuple[int, int]]:
    """Returns pairs with the lowest costs first, so that each number occurs once on each side."""
    pairs: list[tuple[int, int]] = []
    for first, second in sorted(costs, key=lambda pair: (costs[pair], pair)):
        if all(first != other and second != another for other, another in pairs):
            pairs.append((first, second))
    return pairs


def problems_between(
    rows: Iterable[AlertRule], running: Sequence[Group], files: Sequence[Group]
) -> Iterator[Problem]:
    """Yields what keeps `running`, the rules of `rows` as they should run, from being those of the files."""
    yield from group_problems(running, files)
    row_of = {(row.group.name, row.key): row for row in rows}
    here, there = in_buckets(running), in_buckets(files)
    for bucket in sorted({*here, *there}):
        present = [(row_of[bucket.group, rule.key], rule) for rule in here.get(bucket, [])]
        yield from rule_problems(bucket, present, there.get(bucket, []))


def rule_problems(
    bucket: Bucket, here: Sequence[tuple[AlertRule, Rule]], there: Sequence[Rule]
) -> Iterator[Problem]:
    lines = {
        (first, second): differences(row, rule, wanted)
        for first, (row, rule) in enumerate(here)
        for second, wanted in enumerate(there)
    }
    pairs = best_pairs({pair: len(found) for pair, found in lines.items()})
    for first, second in pairs:
        row, rule = here[first]
        for line in lines[first, second]:
            yield Problem(bucket.group, rule.key, in_words(line, advice_on(line.what, row, rule)))
    for first in {*range(len(here))} - {first for first, _ in pairs}:
        yield Problem(bucket.group, here[first][1].key, MISSING)
    for second in {*range(len(there))} - {second for _, second in pairs}:
        odd = NOT_OWN if bucket.group == OPERATORS else NOT_SHIPPED
        yield Problem(bucket.group, there[second].key, odd)


def in_buckets(groups: Iterable[Group]) -> dict[Bucket, list[Rule]]:
    buckets: dict[Bucket, list[Rule]] = {}
    for group in groups:
        for rule in group.rules:
            buckets.setdefault(Bucket(group.name, rule.kind, rule.name), []).append(rule)
    return buckets


def group_problems(running: Iterable[Group], files: Iterable[Group]) -> Iterator[Problem]:
    there = {group.name: group for group in files if group.rules}
    for here in running:
        wanted = there.get(here.name)
        if wanted is None:
            continue
        for what, ours, theirs in (
            ("interval", seconds_text(here), seconds_text(wanted)),
            ("limit", str(here.limit or NONE), str(wanted.limit or NONE)),
        ):
            if ours != theirs:
                advice = OWN_GROUP_STAYS if here.name == OPERATORS else GROUP_STAYS
                yield Problem(here.name, "", in_words(Line(what, ours, theirs), advice))


def seconds_text(group: Group) -> str:
    return NONE if group.interval_seconds is None else duration_text(group.interval_seconds)


def in_words(line: Line, advice: str) -> str:
    there, here = in_a_line(line.after), in_a_line(line.before)
    return f"{line.what} differs. {advice}\n  in the files: {there}\n  here: {here}"


def in_a_line(text: str) -> str:
    return " ".join(text.split())


def advice_on(what: str, row: AlertRule, here: Rule) -> str:
    """Returns what to do about a difference that neither tuning nor editing removes."""
    if what == THRESHOLD:
        return WRITTEN_BY_AMANI
    if row.is_own:
        return OWN_TEXTS
    if row.kind == Kind.RECORD:
        return RECORD_STAYS
    if what == "expression":
        return EXPRESSION_STAYS
    if what == SEVERITY or what.startswith("label "):
        return LABEL_STAYS
    is_completed = here.annotations.get(DESCRIPTION) != row.annotations.get(DESCRIPTION)
    if what == DESCRIPTION and is_completed:
        return SENTENCE_BY_AMANI
    return RUNBOOK_STAYS if what == RUNBOOK else TEXT_STAYS
