"""Splits the tree of an expression into series, comparison and threshold, and puts another threshold into its
text. Only for the process of child.py: a long expression ends the process that parses it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import islice, pairwise
from typing import Any, NamedTuple

import promql_parser as promql

from observability.rules.expressions.scanning import Kind, Token, tokens

FLIPPED = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "==": "==", "!=": "!="}
GUARDS = ("and", "unless")
LONGEST_CONSTANT = 20  # tokens, for example 5 in `1024 * 1024 * 1024`: each place costs a parse
ABSENCE = ("absent", "absent_over_time")
ARITHMETIC = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "%": math.fmod,
    "^": math.pow,
}


class CannotSplit(Exception):
    """The expression has no threshold that can be named; says why."""


class Found(NamedTuple):
    """The comparison with its number, and `around`: all else of the expression, in the parser's words."""

    series: Any  # a node of the tree
    comparison: str
    threshold: float
    is_flipped: bool
    also: tuple[str, ...]
    around: tuple[str, ...]


def split(expression: str) -> dict[str, Any]:
    """Returns series, comparison, threshold and what else must hold. Raises CannotSplit or ValueError."""
    found = find(promql.parse(expression))
    return {
        "series": text_of_series(expression, found),
        "comparison": found.comparison,
        "threshold": found.threshold,
        "also": list(found.also),
    }


def find(tree: Any) -> Found:
    """Goes down to the comparison that decides about the value of the alert: always to the left."""
    also: list[str] = []
    around: list[str] = []
    while not is_comparison(tree):
        if isinstance(tree, promql.ParenExpr):
            around.append("()")
            tree = tree.expr
            continue
        if not isinstance(tree, promql.BinaryExpr) or str(tree.op) not in (*GUARDS, "or"):
            raise CannotSplit("it compares nothing with a number")
        if str(tree.op) == "or" and not is_about_absence(tree.rhs):
            raise CannotSplit("its conditions are joined by `or`, each with a threshold of its own")
        rest = " ".join(filter(None, (str(tree.op), str(tree.modifier or "").strip(), str(tree.rhs))))
        also.insert(0, rest)
        around.append(rest)
        tree = tree.lhs
    return compared(tree, also, around)


def compared(tree: Any, also: list[str], around: list[str]) -> Found:
    comparison = str(tree.op)
    left, right = constant(tree.lhs), constant(tree.rhs)
    if tree.modifier is not None and tree.modifier.return_bool:
        raise CannotSplit("it compares with `bool`, so it returns 0 or 1 instead of leaving series out")
    if (left is None) == (right is None):
        raise CannotSplit(
            "it compares two series" if left is None else "it compares a number with a number, not a series"
        )
    threshold = right if left is None else left
    if threshold is None or not math.isfinite(threshold):
        raise CannotSplit("its threshold is not a finite number")
    series = tree.lhs if left is None else tree.rhs
    is_flipped = left is not None
    return Found(
        series,
        FLIPPED[comparison] if is_flipped else comparison,
        threshold,
        is_flipped,
        tuple(also),
        (*around, str(series), comparison),
    )


def is_comparison(tree: Any) -> bool:
    return isinstance(tree, promql.BinaryExpr) and str(tree.op) in FLIPPED


def is_about_absence(tree: Any) -> bool:
    """Returns whether its leftmost part is `absent(…)`, which has no threshold."""
    while isinstance(tree, promql.ParenExpr | promql.BinaryExpr):
        tree = tree.expr if isinstance(tree, promql.ParenExpr) else tree.lhs
    return isinstance(tree, promql.Call) and tree.func.name in ABSENCE


def constant(tree: Any) -> float | None:
    """Returns the number that the tree always is; None when it depends on series or time."""
    if isinstance(tree, promql.NumberLiteral):
        return float(tree.val)
    if isinstance(tree, promql.ParenExpr):
        return constant(tree.expr)
    if isinstance(tree, promql.UnaryExpr):
        value = constant(tree.expr)
        return None if value is None else -value
    if isinstance(tree, promql.BinaryExpr) and str(tree.op) in ARITHMETIC:
        left, right = constant(tree.lhs), constant(tree.rhs)
        if left is None or right is None:
            return None
        try:
            return float(ARITHMETIC[str(tree.op)](left, right))
        except (ArithmeticError, ValueError):
            return math.nan
    return None


# --- Each condition ---


def conditions(expression: str) -> list[dict[str, Any]]:
    """Returns each part of an `or` that compares series with a number; `split` refuses such an expression.

    Parts about absence are left out: they fire while there are no series. Raises CannotSplit or ValueError.
    """
    parts = [part for part in parts_of_or(promql.parse(expression)) if not is_about_absence(part)]
    if not parts:
        raise CannotSplit("it compares nothing with a number")
    return [
        {
            "series": found.series.prettify(),
            "comparison": found.comparison,
            "threshold": found.threshold,
            "also": list(found.also),
        }
        for found in map(find, parts)
    ]


def parts_of_or(tree: Any) -> list[Any]:
    if isinstance(tree, promql.ParenExpr):
        return parts_of_or(tree.expr)
    if isinstance(tree, promql.BinaryExpr) and str(tree.op) == "or":
        return [*parts_of_or(tree.lhs), *parts_of_or(tree.rhs)]
    return [tree]


# --- Another threshold ---


def with_threshold(expression: str, threshold: float) -> str:
    """Returns the text with this number as its threshold, and otherwise unchanged.

    Tries each place that has the number of today: the parser must then find the new number, and everything
    else as it was. Raises CannotSplit or ValueError.
    """
    before = find(promql.parse(expression))
    if before.threshold == threshold:
        return expression
    for start, end in constants(expression, before.threshold):
        changed = f"{expression[:start]}{number(threshold)}{expression[end:]}"
        after = find_or_none(changed)
        if after is not None and (after.threshold, after.around) == (threshold, before.around):
            return changed
    raise CannotSplit("its threshold cannot be found in its text")


def constants(expression: str, value: float) -> Iterator[tuple[int, int]]:
    """Yields the places whose text alone is `value`, shorter ones first: `0.9`, `5 * 60`, `-3`."""
    found = list(tokens(expression))
    places = [
        (first.start, last.end)
        for position, first in enumerate(found)
        if first.kind is Kind.NUMBER or first.text in ("+", "-", "(")
        for last in constant_ends(found[position:])
    ]
    for start, end in sorted(places, key=lambda place: place[1] - place[0]):
        if value_of(expression[start:end]) == value:
            yield start, end


def constant_ends(following: list[Token]) -> Iterator[Token]:
    """Yields each token that could end a constant that begins with the first of `following`."""
    for token in islice(following, LONGEST_CONSTANT):
        if token.kind is Kind.NUMBER or token.text == ")":
            yield token
        elif token.text not in (*ARITHMETIC, "("):
            return


def value_of(text: str) -> float | None:
    try:
        return constant(promql.parse(text))
    except ValueError:
        return None


def find_or_none(expression: str) -> Found | None:
    try:
        return find(promql.parse(expression))
    except (ValueError, CannotSplit):
        return None


def number(value: float) -> str:
    """Returns the shortest text that is this number: `5`, `0.05`."""
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)


# --- The text of the series ---


def text_of_series(expression: str, found: Found) -> str:
    """Returns the series as it is written, or in the parser's words if that place is not found."""
    written = str(found.series)
    for operator, after in pairwise(tokens(expression)):
        if found.is_flipped or operator.text != found.comparison or after.text == "bool":
            continue
        text = expression[beginning(expression, operator) : operator.start].strip()
        if parsed_as(text) == written:
            return text
    return written


def beginning(expression: str, operator: Token) -> int:
    """Returns where the part in brackets begins in which `operator` stands; 0 outside of brackets."""
    open_ends: list[int] = []
    for token in tokens(expression[: operator.start]):
        if token.text == "(":
            open_ends.append(token.end)
        elif token.text == ")" and open_ends:
            open_ends.pop()
    return open_ends[-1] if open_ends else 0


def parsed_as(text: str) -> str | None:
    try:
        return str(promql.parse(text))
    except ValueError:
        return None
