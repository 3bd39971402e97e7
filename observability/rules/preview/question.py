"""What a preview is asked: the rule as it is, and other values for it, as plain data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import NamedTuple

from observability.rules.preview.replay import Condition

OR = "or "
MATCHING = ("on ", "on(", "ignoring ", "ignoring(")  # behind `or`: which labels it compares


class Parts(NamedTuple):
    """An expression in two: `values` are compared with the threshold, each of `always` fires by being there.

    Of `time() - x > 60 or absent(x)`: `time() - x`, and `absent(x)`.
    """

    values: str
    always: tuple[str, ...]


class Question(NamedTuple):
    """`labels`, `severities`: by which its alerts are recognised. `severities`: that it has or had.

    `labels_of_rule`: the names of all its labels.
    `interval_seconds`: between its evaluations; `evaluated_at`: one of them, seconds since 1970.
    """

    alertname: str
    labels: Mapping[str, str]
    severities: tuple[str, ...]
    labels_of_rule: tuple[str, ...]
    parts: Parts
    present: Condition
    proposed: Condition
    days: int
    interval_seconds: float
    evaluated_at: float
    changed_at: datetime


def parts_of(series: str, also: Iterable[str]) -> Parts:
    """Returns the parts of `series > number`, followed by each of `also`: `and …`, `unless …`, `or …`.

    `and` and `unless` decide by labels only, so it is the same whether they stand before the comparison or
    after it.
    """
    values, always = series, list[str]()
    for rest in also:
        if rest.startswith(OR):
            always.append(without_matching(rest.removeprefix(OR).lstrip()))
        else:
            values = f"({values}\n) {rest}"
            always = [f"({other}\n) {rest}" for other in always]
    return Parts(values, tuple(always))


def without_matching(rest: str) -> str:
    """Returns what follows `or on (…)`: an alert of both sides is one, whatever labels `or` compares."""
    return rest[rest.index(")") + 1 :].lstrip() if rest.startswith(MATCHING) else rest
