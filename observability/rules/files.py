"""Reads rule files of Prometheus (its documentation: "Recording rules", "Alerting rules") as plain data."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from django.conf import settings

from observability.alerts.errors import RuleFileWrong
from observability.models import AlertRule
from observability.models.rules import SCOPE

SHIPPED = Path(settings.BASE_DIR) / "deploy" / "prometheus" / "rules"
DURATION = re.compile(r"(?=.)(?:(\d+)y)?(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?(?:(\d+)ms)?")
UNIT_MILLISECONDS = (365 * 86_400_000, 7 * 86_400_000, 86_400_000, 3_600_000, 60_000, 1000, 1)
Kind = AlertRule.Kind


class Rule(NamedTuple):
    key: str
    kind: Kind
    name: str
    expression: str
    for_seconds: float
    keep_firing_for_seconds: float
    labels: Mapping[str, str]
    annotations: Mapping[str, str]


class Group(NamedTuple):
    name: str
    file: str
    interval_seconds: float | None
    limit: int | None
    rules: tuple[Rule, ...]


def read_groups(folder: Path) -> list[Group]:
    """Returns the groups of all rule files of `folder`. Raises RuleFileWrong, also when there is none."""
    groups = [group for file in sorted(folder.glob("*.yml")) for group in read_file(file)]
    if not groups:
        raise RuleFileWrong(str(folder), "it has no rule file")
    for name, times in Counter(group.name for group in groups).items():
        if times > 1:
            raise RuleFileWrong(str(folder), f"{times} groups are named {name}")
    return groups


def read_file(file: Path) -> list[Group]:
    try:
        return read_text(file.name, file.read_bytes())
    except OSError as problem:
        raise RuleFileWrong(file.name, f"{type(problem).__name__}: {problem}") from problem


def read_text(name: str, text: str | bytes) -> list[Group]:
    """Returns the groups of the rule file `name` with this text. Raises RuleFileWrong."""
    try:
        content = yaml.load(text, Loader=yaml.CSafeLoader)
        return [read_group(name, group) for group in content["groups"]]
    except (yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError) as problem:
        raise RuleFileWrong(name, f"{type(problem).__name__}: {problem}") from problem


def read_group(file: str, group: Mapping[str, Any]) -> Group:
    interval = group.get("interval")
    return Group(
        name=str(group["name"]),
        file=file,
        interval_seconds=None if interval is None else seconds_of(interval),
        limit=group.get("limit") or None,  # 0 is Prometheus's word for no limit
        rules=tuple(read_rules(group["rules"])),
    )


def read_rules(rules: list[Mapping[str, Any]]) -> Iterator[Rule]:
    names: Counter[str] = Counter()
    for rule in rules:
        kind = Kind.ALERT if "alert" in rule else Kind.RECORD
        labels = texts(rule.get("labels"))
        name = str(rule[kind])
        key = key_of(name, labels)
        names[key] += 1
        yield Rule(
            key=key if names[key] == 1 else f"{key}/{names[key]}",
            kind=kind,
            name=name,
            expression=str(rule["expr"]).strip(),
            for_seconds=seconds_of(rule.get("for", 0)),
            keep_firing_for_seconds=seconds_of(rule.get("keep_firing_for", 0)),
            labels=labels,
            annotations=texts(rule.get("annotations")),
        )


def key_of(name: str, labels: Mapping[str, str]) -> str:
    """Returns what identifies a rule in its group: its name, and its scope if it has one."""
    return f"{name}/{labels[SCOPE]}" if SCOPE in labels else name


def texts(pairs: Mapping[str, Any] | None) -> dict[str, str]:
    return {str(name): str(value) for name, value in (pairs or {}).items()}


def seconds_of(duration: str | int) -> float:
    """Returns a duration of Prometheus (`1h30m`, `500ms`, 0) in seconds. Raises ValueError."""
    if str(duration) == "0":
        return 0.0
    found = DURATION.fullmatch(str(duration))
    if found is None:
        raise ValueError(f"{duration!r} is no duration")
    parts = zip(found.groups(), UNIT_MILLISECONDS, strict=True)
    return sum(int(part or 0) * unit for part, unit in parts) / 1000  # whole until here: 1s122ms stays that


def number_text(number: float) -> str:
    """Returns a number as an operator writes it: `5`, `0.05`."""
    return f"{number:.15g}"
