"""Replays an alerting rule over samples of its expression, with the decisions of Prometheus.

Source: AlertingRule.Eval in rules/alerting.go of Prometheus 2.42 and 3.x. At each evaluation an alert

- begins to be pending when its series is in the result, and fires once that has held for `for`;
- is inactive at the first evaluation without its series, so that `for` begins anew;
- but fires for `keep_firing_for` longer, counted from that evaluation, if it had fired.

A sample that is older than five minutes, or marked as stale, is in no result of `query_range` either, so
absence of a sample here is absence there.
"""

from __future__ import annotations

import operator
from array import array
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

Span = tuple[int, int]  # evaluations, from the first to the one after the last
COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
}


@dataclass(frozen=True, slots=True)
class Grid:
    """The evaluations of a window: `count`, each `step` seconds after the one before. `start`: since 1970."""

    start: float
    step: float
    count: int

    def at(self, index: int) -> float:
        return self.start + index * self.step

    def index_of(self, moment: float) -> int:
        """Returns the first evaluation at `moment` or later; one of the grid, or the end of it."""
        return min(max(0, evaluations(moment - self.start, self.step)), self.count)

    def seconds(self, span: Span) -> float:
        return (span[1] - span[0]) * self.step


class Series(NamedTuple):
    """The samples of one series: `values[n]` at the evaluation `indices[n]`, in ascending order."""

    labels: Mapping[str, str]
    indices: array[int]
    values: array[float]


class Condition(NamedTuple):
    """When a rule fires. Without a `comparison` its series need only be there, whatever their values."""

    comparison: str
    threshold: float
    for_seconds: float
    keep_firing_for_seconds: float = 0.0


class Periods(NamedTuple):
    """When one alert was pending and when it fired, each in ascending order and without overlaps."""

    pending: list[Span]
    firing: list[Span]


def evaluations(seconds: float, step: float) -> int:
    """Returns how many steps it takes until at least `seconds` are over; exact to the millisecond."""
    return -(-round(seconds * 1000) // round(step * 1000))


def replay(series: Series, step: float, condition: Condition) -> Periods:
    """Returns when the alert of `series` would have been pending and firing. `step`: seconds."""
    hold = evaluations(condition.for_seconds, step)
    kept = evaluations(condition.keep_firing_for_seconds, step)
    pending: list[Span] = []
    firing: list[Span] = []
    for start, end in runs(series, condition):
        if firing and start <= firing[-1][1]:  # it still fired when the series came back
            firing[-1] = (firing[-1][0], end + kept)
            continue
        fires = start + hold
        if start < fires:
            pending.append((start, min(fires, end)))
        if fires < end:
            firing.append((fires, end + kept))
    return Periods(pending, firing)


def runs(series: Series, condition: Condition) -> Iterator[Span]:
    """Yields the spans of evaluations in a row at which the condition holds."""
    first = last = -1
    for index in holding(series, condition):
        if index == last + 1 and first >= 0:
            last = index
            continue
        if first >= 0:
            yield first, last + 1
        first = last = index
    if first >= 0:
        yield first, last + 1


def holding(series: Series, condition: Condition) -> Iterator[int]:
    if not condition.comparison:
        yield from series.indices
        return
    compare, threshold = COMPARISONS[condition.comparison], condition.threshold
    for index, value in zip(series.indices, series.values, strict=True):
        if compare(value, threshold):
            yield index


def clipped(spans: list[Span], within: Span) -> list[Span]:
    """Returns the parts of `spans` that lie within `within`."""
    cut = ((max(start, within[0]), min(end, within[1])) for start, end in spans)
    return [(start, end) for start, end in cut if start < end]


def joined(spans: list[Span]) -> list[Span]:
    """Returns `spans` in ascending order, those that touch or overlap as one."""
    result: list[Span] = []
    for start, end in sorted(spans):
        if result and start <= result[-1][1]:
            result[-1] = (result[-1][0], max(end, result[-1][1]))
        else:
            result.append((start, end))
    return result


def length(spans: list[Span]) -> int:
    """Returns how many evaluations lie in `spans`, which must not overlap."""
    return sum(end - start for start, end in spans)


def common_length(some: list[Span], others: list[Span]) -> int:
    """Returns how many evaluations lie in both. Each list must be without overlaps."""
    return length(some) + length(others) - length(joined([*some, *others]))
