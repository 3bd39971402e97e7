"""The conditions of a rule: which series it compares with which numbers."""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from observability.rules.expressions import reading

COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    "<": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
}


class Condition(NamedTuple):
    """A part of an expression that compares series with a number. It fires where the comparison holds.

    `is_alone`: no other condition has to hold with it (`and`, `unless`).
    """

    series: str
    comparison: str
    threshold: float
    is_alone: bool

    def holds(self, value: float) -> bool:
        return COMPARISONS[self.comparison](value, self.threshold)

    @property
    def text(self) -> str:
        """Returns the comparison and the threshold, for example `> 0.05`."""
        return f"{self.comparison} {self.threshold:.12g}"


@lru_cache(maxsize=256)
def conditions_of(expression: str) -> tuple[Condition, ...]:
    """Returns the conditions of which one has to hold for the rule to fire (`or`).

    None when any part of the expression is not a comparison of series with a number. The answer is kept:
    reading an expression starts a process.
    """
    return tuple(
        Condition(found.series, found.comparison, found.threshold, is_alone=not found.also)
        for found in reading.conditions_of(expression)
    )
