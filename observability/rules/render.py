"""Writes groups of rules as a rule file of Prometheus. The same groups always give the same text.

All groups are in one file: Prometheus reads the files of a folder one after another, so only one file can be
replaced as a whole. Expressions are blocks, so that a changed line of one is a changed line of the file.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

import yaml

from observability.rules.files import Group, Rule

FILE = "amani.yml"
UNITS = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1))
ANY_WIDTH = 1_000_000  # a text is never folded into several lines


class Expression(str):
    __slots__ = ()


class Writer(yaml.CSafeDumper):
    """Writes expressions as blocks."""


def as_block(writer: yaml.CSafeDumper, text: Expression) -> yaml.ScalarNode:
    return writer.represent_scalar("tag:yaml.org,2002:str", str(text), style="|")


Writer.add_representer(Expression, as_block)


def render(groups: Iterable[Group]) -> dict[str, str]:
    """Returns the name of each rule file and its text."""
    content = {"groups": [group_fields(group) for group in groups]}
    text: str = yaml.dump(
        content, Dumper=Writer, sort_keys=False, allow_unicode=True, width=ANY_WIDTH, default_flow_style=False
    )
    return {FILE: text}


def group_fields(group: Group) -> dict[str, Any]:
    fields: dict[str, Any] = {"name": group.name}
    if group.interval_seconds is not None:
        fields["interval"] = duration_text(group.interval_seconds)
    if group.limit:
        fields["limit"] = group.limit
    return fields | {"rules": [rule_fields(rule) for rule in group.rules]}


def rule_fields(rule: Rule) -> dict[str, Any]:
    fields: dict[str, Any] = {str(rule.kind): rule.name, "expr": Expression(rule.expression)}
    if rule.for_seconds:
        fields["for"] = duration_text(rule.for_seconds)
    if rule.keep_firing_for_seconds:
        fields["keep_firing_for"] = duration_text(rule.keep_firing_for_seconds)
    for name, texts in (("labels", rule.labels), ("annotations", rule.annotations)):
        if texts:
            fields[name] = dict(sorted(texts.items()))
    return fields


def duration_text(seconds: float) -> str:
    """Returns the duration as Prometheus writes one: `1h30m`, `500ms`, `0s`."""
    left = int(Decimal(str(seconds)) * 1000)
    parts = []
    for unit, size in UNITS:
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


class Place(NamedTuple):
    """Where something is in a rule file. Lines and columns begin at 1; 0 means that it is not known."""

    file: str
    line: int = 0
    column: int = 0


def find_expression(
    files: Mapping[str, str], group: str, rule: int, line: int = 1, column: int = 1
) -> Place | None:
    """Returns where an expression is, or a line and column in it; None if the files have no such rule.

    `group`: its name. `rule`: its number in the group; all numbers begin at 1.
    """
    for file, text in files.items():
        expression = expression_node(yaml.compose(text, Loader=yaml.CSafeLoader), group, rule)
        if expression is not None:
            return place_in(expression, file, text, line, column)
    return None


def expression_node(root: Any, group: str, rule: int) -> Any:
    for candidate in items(root, "groups"):
        if field(candidate, "name").value == group and len(items(candidate, "rules")) >= rule:
            return field(items(candidate, "rules")[rule - 1], "expr")
    return None


def field(node: Any, name: str) -> Any:
    return next((value for key, value in node.value if key.value == name), None)


def items(node: Any, name: str) -> list[Any]:
    found = field(node, name)
    return list(found.value) if found is not None else []


def place_in(expression: Any, file: str, text: str, line: int, column: int) -> Place:
    start = expression.start_mark
    if expression.style != "|":  # what a block cannot hold; then where it begins is all that is known
        return Place(file, start.line + 1, start.column + 1)
    first = text.splitlines()[start.line + 1]
    indented = len(first) - len(first.lstrip(" "))
    return Place(file, start.line + 1 + line, indented + column)
