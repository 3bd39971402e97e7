"""Compares the rules that Prometheus has loaded with those of a version: each rule, counted both ways."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import PurePath
from typing import Any, NamedTuple

from observability.rules.files import Group, Kind, Rule
from observability.rules.render import FILE

KINDS = {"alerting": Kind.ALERT, "recording": Kind.RECORD}
MOST_NAMED = 3

Formatted = Callable[[str], str]


class Identity(NamedTuple):
    """What identifies a loaded rule among all others. `expression` as Prometheus formats it."""

    group: str
    kind: str
    name: str
    expression: str
    for_seconds: float
    keep_firing_for_seconds: float
    labels: frozenset[tuple[str, str]]
    annotations: frozenset[tuple[str, str]]

    def difference(self, other: Identity) -> str:
        return ", ".join(
            name.replace("_seconds", "").replace("_", " ")
            for name in self._fields
            if getattr(self, name) != getattr(other, name)
        )


class Comparison(NamedTuple):
    """`differences`: sentences; none when Prometheus has the rules of the version and no other of its file.

    `failing`: rules that it cannot evaluate, with its reason. `unevaluated`: how many it has not evaluated.
    """

    differences: list[str]
    failing: dict[Identity, str]
    unevaluated: int


def compare(groups: Iterable[Group], loaded: Iterable[Mapping[str, Any]], formatted: Formatted) -> Comparison:
    """Compares `groups` with those of Prometheus's GET /api/v1/rules. `formatted`: as Prometheus writes an
    expression.
    """
    groups = list(groups)
    names = {group.name for group in groups}
    there = [each for each in loaded if each["name"] in names or PurePath(each["file"]).name == FILE]
    wanted = Counter(identity for group in groups for identity in identities(group, formatted))
    found: Counter[Identity] = Counter()
    failing: dict[Identity, str] = {}
    unevaluated = 0
    for group in there:
        for rule in group["rules"]:
            identity = identity_there(group["name"], rule, formatted)
            found[identity] += 1
            if rule["health"] == "err":
                failing[identity] = str(rule.get("lastError", ""))
            unevaluated += rule["health"] == "unknown"
    differences = [*rule_differences(wanted, found, there), *group_differences(groups, there)]
    return Comparison(differences, failing, unevaluated)


def identities(group: Group, formatted: Formatted) -> Iterator[Identity]:
    for rule in group.rules:
        yield identity_of(group.name, rule, formatted)


def identity_of(group: str, rule: Rule, formatted: Formatted) -> Identity:
    return Identity(
        group,
        str(rule.kind),
        rule.name,
        formatted(rule.expression),
        float(rule.for_seconds),
        float(rule.keep_firing_for_seconds),
        frozenset(rule.labels.items()),
        frozenset(rule.annotations.items()),
    )


def identity_there(group: str, rule: Mapping[str, Any], formatted: Formatted) -> Identity:
    return Identity(
        group,
        str(KINDS[rule["type"]]),
        rule["name"],
        formatted(rule["query"]),
        float(rule.get("duration") or 0),
        float(rule.get("keepFiringFor") or 0),
        frozenset((rule.get("labels") or {}).items()),
        frozenset((rule.get("annotations") or {}).items()),
    )


def rule_differences(
    wanted: Counter[Identity], found: Counter[Identity], there: list[Mapping[str, Any]]
) -> Iterator[str]:
    if wanted and not found:
        yield (
            "Prometheus has loaded none of these rules. Does a pattern of its rule_files match the file that "
            "Amani writes? A pattern that matches nothing is no error for Prometheus."
        )
        return
    files = {group["name"]: group["file"] for group in there}
    missing, odd = wanted - found, found - wanted
    for rule in missing:
        other = next((each for each in odd if (each.group, each.name) == (rule.group, rule.name)), None)
        if other is None:
            yield f"Prometheus has no {rule.name} in the group {rule.group}."
        else:
            yield (
                f"Prometheus has another {rule.name} in the group {rule.group}, from {files[rule.group]}: "
                f"another {rule.difference(other)}."
            )
    named = {(rule.group, rule.name) for rule in missing}
    for rule in odd:
        if (rule.group, rule.name) not in named:
            yield (
                f"Prometheus also has {rule.name} in the group {rule.group}, from "
                f"{' and '.join(sorted({g['file'] for g in there if g['name'] == rule.group}))}."
            )


def group_differences(groups: Iterable[Group], there: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    of_group = {group["name"]: group for group in there}
    for group in groups:
        loaded = of_group.get(group.name)
        if loaded is None:
            continue
        if group.interval_seconds is not None and float(loaded["interval"]) != group.interval_seconds:
            yield f"Prometheus evaluates the group {group.name} every {loaded['interval']:g} s."
        if (loaded.get("limit") or None) != group.limit:
            yield f"Prometheus has another limit of the group {group.name}: {loaded.get('limit') or 'none'}."


def in_words(differences: list[str]) -> str:
    """Returns the first differences as one text, and how many others there are."""
    named = " ".join(differences[:MOST_NAMED])
    others = len(differences) - MOST_NAMED
    return f"{named} And {others} more differences." if others > 0 else named
