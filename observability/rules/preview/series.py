"""Reads the past of an expression from Prometheus: `query_range`, in chunks, with a limit on the cost.

Prometheus refuses more than 11,000 points for a series (web/api/v1/api.go), so a window is asked for in
chunks. What a preview may cost is limited in points, series, samples and seconds; beyond that CannotPreview
says what to do.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from core.outgoing import Deadline
from observability.alerts.prometheus import NoAnswer, ask
from observability.rules.preview.errors import CannotPreview
from observability.rules.preview.replay import Grid, Series

DAY_SECONDS = 86_400
MOST_POINTS_AT_ONCE = 10_000  # of one series; Prometheus's own limit is 11,000
MOST_SAMPLES_AT_ONCE = 200_000  # of all series; some 8 MB as JSON
MOST_BYTES_AT_ONCE = 32 * 1024 * 1024
MOST_POINTS = 44_000  # of one series: 30 days in steps of a minute
MOST_SAMPLES = 1_000_000
LONGEST_STEP_SECONDS = 120.0  # a coarser one would miss what a rule waits for
SHORTEST_HISTORY_SECONDS = 3600.0
PROBES = 100  # points of the first look at a window


class Look(NamedTuple):
    """A first look at a window: the most series at once, and when its data begins (None: there is none)."""

    series: int
    since: float | None


def look_at(expression: str, grid: Grid, deadline: Deadline) -> Look:
    """Returns how many series the expression has, and when Prometheus's data begins. Raises CannotPreview.

    Asks for few points over the whole window, so a series that comes and goes between them is not counted.
    """
    coarse = coarser(grid, PROBES)
    counted = list(read_values(f"count({expression}\n)", coarse, deadline))
    targets = list(read_values("count(up)", coarse, deadline))
    began = [index for index, _value in (*counted[:1], *targets[:1])]
    return Look(
        series=int(max((value for _index, value in counted), default=0)),
        since=coarse.at(min(began)) if began else None,
    )


def coarser(grid: Grid, points: int) -> Grid:
    """Returns the same window with at most `points` evaluations, which are evaluations of `grid` too."""
    every = max(1, math.ceil(grid.count / points))
    return Grid(grid.start, grid.step * every, math.ceil(grid.count / every))


def grid_for(*, end: float, seconds: float, interval: float, series: int = 1) -> Grid:
    """Returns the evaluations of the `seconds` before `end`, that many of which can be afforded.

    They are `interval` seconds apart, how often the rule is evaluated, or a multiple of that. `end` is one of
    them. Raises CannotPreview when even the longest step is too expensive for so many `series`.
    """
    most = min(MOST_POINTS, MOST_SAMPLES // max(1, series))
    every = max(1, math.ceil(seconds / interval / max(1, most)))
    step = interval * every
    if every > 1 and step > LONGEST_STEP_SECONDS:
        days = seconds / DAY_SECONDS
        raise CannotPreview(
            f"The expression has {series:,} series, too many for {days:.3g} days. Ask for fewer days, or "
            f"aggregate it, for example with sum by (…)."
        )
    count = math.floor(seconds / step) + 1
    return Grid(end - (count - 1) * step, step, count)


def read_series(
    expression: str, grid: Grid, deadline: Deadline, *, series: int = 1, progress: Callable[[float], None]
) -> list[Series]:
    """Returns all series of the expression at the evaluations of `grid`. Raises CannotPreview.

    `series`: about how many there are, for the size of the chunks. `progress` is called after each chunk with
    the share that is read.
    """
    found: dict[tuple[tuple[str, str], ...], Series] = {}
    samples = 0
    for first, chunk in chunks(grid, series):
        for labels, indices, values in read_chunk(expression, chunk, deadline):
            key = tuple(sorted(labels.items()))
            known = found.setdefault(key, Series(labels, array("l"), array("d")))
            known.indices.extend(first + index for index in indices)
            known.values.extend(values)
            samples += len(values)
        if samples > MOST_SAMPLES:
            raise CannotPreview(
                f"The expression has more than {MOST_SAMPLES:,} samples in this window, in {len(found):,} "
                "series. Ask for fewer days, or aggregate it, for example with sum by (…)."
            )
        progress((first + chunk.count) / grid.count)
    return list(found.values())


def chunks(grid: Grid, series: int) -> Iterator[tuple[int, Grid]]:
    """Yields the parts of `grid`, each with the index of its first evaluation."""
    size = max(1, min(MOST_POINTS_AT_ONCE, MOST_SAMPLES_AT_ONCE // max(1, series)))
    for first in range(0, grid.count, size):
        yield first, Grid(grid.at(first), grid.step, min(size, grid.count - first))


def read_values(expression: str, grid: Grid, deadline: Deadline) -> Iterator[tuple[int, float]]:
    """Yields the samples of an expression that has one series or none. Raises CannotPreview."""
    for _labels, indices, values in read_chunk(expression, grid, deadline):
        yield from zip(indices, values, strict=True)


def read_chunk(
    expression: str, grid: Grid, deadline: Deadline
) -> Iterator[tuple[Mapping[str, str], list[int], list[float]]]:
    """Yields labels, indices in `grid` and values of each series."""
    if deadline.passed:
        raise too_slow()
    try:
        data = ask(
            "query_range",
            deadline,
            limit_bytes=MOST_BYTES_AT_ONCE,
            query=expression,
            start=f"{grid.start:.3f}",
            end=f"{grid.at(grid.count - 1):.3f}",
            step=f"{grid.step:.3f}",
        )
        yield from read_matrix(data, grid)
    except NoAnswer as problem:
        if deadline.passed:
            raise too_slow() from None
        raise CannotPreview(f"{problem} {problem.reason}".strip()) from None


def too_slow() -> CannotPreview:
    return CannotPreview(
        "Prometheus took too long to read this window. Ask for fewer days, or record the expression by a "
        "rule of its own and use that series."
    )


def read_matrix(data: Any, grid: Grid) -> Iterator[tuple[Mapping[str, str], list[int], list[float]]]:
    try:
        for row in data["result"]:
            samples = row.get("values") or []
            if row.get("histograms"):
                raise CannotPreview("The expression has native histograms as values, which no rule compares.")
            indices = [round((float(moment) - grid.start) / grid.step) for moment, _value in samples]
            values = [float(value) for _moment, value in samples]
            yield {str(name): str(text) for name, text in row["metric"].items()}, indices, values
    except (TypeError, KeyError, ValueError, AttributeError, OverflowError):
        raise CannotPreview("Prometheus gave a response of an unknown form.") from None
