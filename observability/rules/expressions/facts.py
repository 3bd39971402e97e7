"""Reads from the tree of an expression what the lints need. Only for the process of child.py."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import promql_parser as promql

from observability.rules.expressions.splitting import ABSENCE, FLIPPED, constant

KEEP_ALL = (
    "topk",
    "bottomk",
    "limitk",
    "limit_ratio",
    "count_values",
)  # aggregations without labels of their own
NO_LABELS = ("vector", "time", "scalar", "pi")
OPERATORS = {
    "MatchOp.Equal": "=",
    "MatchOp.NotEqual": "!=",
    "MatchOp.Re": "=~",
    "MatchOp.NotRe": "!~",
}
RELABEL = ("label_replace", "label_join")

Labels = set[str] | None  # None: not known from the text


def facts(expression: str) -> dict[str, Any]:
    """Returns the selectors with window and functions, the labels of the result, and whether it compares."""
    tree = promql.parse(expression)
    nodes = list(walk(tree, ()))
    labels = labels_of(tree)
    return {
        "selectors": [selector(node, around) for node, around in nodes if is_selector(node)],
        "labels": None if labels is None else sorted(labels),
        "compares": any(compares(node) for node, _ in nodes),
    }


def walk(node: Any, around: tuple[str, ...]) -> Iterator[tuple[Any, tuple[str, ...]]]:
    """Yields each node with the names of the functions and aggregations around it."""
    yield node, around
    if isinstance(node, promql.Call):
        for argument in node.args:
            yield from walk(argument, (*around, node.func.name))
    elif isinstance(node, promql.AggregateExpr):
        yield from walk(node.expr, (*around, str(node.op)))
    elif isinstance(node, promql.BinaryExpr):
        yield from walk(node.lhs, around)
        yield from walk(node.rhs, around)
    elif isinstance(node, promql.ParenExpr | promql.UnaryExpr | promql.SubqueryExpr):
        yield from walk(node.expr, around)


def is_selector(node: Any) -> bool:
    return isinstance(node, promql.VectorSelector | promql.MatrixSelector)


def selector(node: Any, around: tuple[str, ...]) -> dict[str, Any]:
    is_window = isinstance(node, promql.MatrixSelector)
    vector = node.vector_selector if is_window else node
    return {
        "name": vector.name or "",
        "text": f"{vector.name or ''}{{{matchers_text(vector)}}}",
        "window_seconds": node.range.total_seconds() if is_window else None,
        "functions": list(around),
    }


def matchers_text(vector: Any) -> str:
    """Returns the matchers as PromQL; the parser's own text leaves quotes in values as they are."""
    return ",".join(
        f"{each.name}{OPERATORS[str(each.op)]}{json.dumps(each.value)}" for each in vector.matchers.matchers
    )


def compares(node: Any) -> bool:
    is_comparison = isinstance(node, promql.BinaryExpr) and str(node.op) in FLIPPED
    return is_comparison or (isinstance(node, promql.Call) and node.func.name in ABSENCE)


def labels_of(node: Any) -> Labels:
    """Returns the labels that the result can have, where the expression alone says so."""
    if isinstance(node, promql.AggregateExpr):
        return labels_of_aggregation(node)
    if isinstance(node, promql.Call):
        return labels_of_call(node)
    if isinstance(node, promql.BinaryExpr):
        return labels_of_pair(node)
    if isinstance(node, promql.ParenExpr | promql.UnaryExpr | promql.SubqueryExpr):
        return labels_of(node.expr)
    return set() if constant(node) is not None else None


def labels_of_aggregation(node: Any) -> Labels:
    if str(node.op) in KEEP_ALL:
        return None
    if node.modifier is None:
        return set()
    return set(node.modifier.labels) if node.modifier.type == promql.AggModifierType.By else None


def labels_of_call(node: Any) -> Labels:
    name = node.func.name
    if name in NO_LABELS:
        return set()
    if name in RELABEL:
        return None
    if name in ABSENCE:
        return labels_of_absence(node.args[0])
    for argument in node.args:
        if not isinstance(argument, promql.StringLiteral) and constant(argument) is None:
            inner = labels_of(argument)
            return inner - {"le"} if inner is not None and name == "histogram_quantile" else inner
    return None


def labels_of_absence(argument: Any) -> Labels:
    vector = getattr(argument, "vector_selector", argument)
    if not isinstance(vector, promql.VectorSelector):
        return set()
    return {each.name for each in vector.matchers.matchers if each.op == promql.MatchOp.Equal}


def labels_of_pair(node: Any) -> Labels:
    left, right = labels_of(node.lhs), labels_of(node.rhs)
    if str(node.op) in ("and", "unless"):
        return left
    if str(node.op) == "or":
        return None if left is None or right is None else left | right
    for side, other in ((node.lhs, right), (node.rhs, left)):
        if constant(side) is not None or (isinstance(side, promql.Call) and side.func.name in NO_LABELS):
            return other
    modifier = node.modifier
    if modifier is None or modifier.matching is None:
        return left
    if modifier.card != promql.VectorMatchCardinality.OneToOne:
        return None
    if modifier.matching.type == promql.LabelModifierType.Include:
        return set(modifier.matching.labels)
    return None if left is None else left - set(modifier.matching.labels)
