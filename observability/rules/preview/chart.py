"""Reduces a window to what a picture of it shows, and draws it as SVG, which needs no script."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from observability.rules.files import number_text
from observability.rules.preview.outcome import Candidate, Outcome
from observability.rules.preview.replay import Grid, Span, clipped, length

COLUMNS = 480
MOST_LINES = 12
# Of the evaluations in one column, the one that is closest to firing; of an unknown comparison, the highest.
WORST: Mapping[str, Callable[..., float]] = {"<": min, "<=": min}

WIDTH, HEIGHT = 960, 346
TOP, BOTTOM = 16, 250  # of the values
LANES = {"proposed": 258, "present": 278, "recorded": 298}  # top of each row of periods
LANE_HEIGHT = 14


# --- What is kept of the samples ---


def lines_of(
    candidates: Sequence[Candidate], outcomes: Sequence[Outcome], grid: Grid, within: Span
) -> list[dict[str, Any]]:
    """Returns the series to draw, those that fire most first: labels, and (seconds, value or None) points."""
    compared = [place for place, one in enumerate(candidates) if one.is_compared]
    comparison = outcomes[0].condition.comparison
    worst = WORST.get(comparison, max)

    def importance(place: int) -> tuple[int, float]:
        firing = sum(length(clipped(outcome.periods[place].firing, within)) for outcome in outcomes)
        values = [value for value in candidates[place].series.values if math.isfinite(value)]
        extreme = worst(values, default=0.0)
        return firing, -extreme if worst is min else extreme

    chosen = sorted(compared, key=importance, reverse=True)[:MOST_LINES]
    return [
        {
            "labels": {
                name: value for name, value in candidates[place].series.labels.items() if name != "__name__"
            },
            "points": points_of(candidates[place], worst, grid, within),
        }
        for place in chosen
    ]


def points_of(
    one: Candidate, worst: Callable[..., float], grid: Grid, within: Span
) -> list[tuple[float, float | None]]:
    """Returns one point for each column with samples, and a None where a line must not be drawn through."""
    width = max(1, math.ceil((within[1] - within[0]) / COLUMNS))
    columns: dict[int, float] = {}
    for index, value in zip(one.series.indices, one.series.values, strict=True):
        if within[0] <= index < within[1] and math.isfinite(value):
            column = (index - within[0]) // width
            columns[column] = worst(value, columns.get(column, value))
    points: list[tuple[float, float | None]] = []
    before = None
    for column, value in sorted(columns.items()):
        at = grid.at(within[0] + column * width)
        if before is not None and column > before + 1:
            points.append((at, None))
        points.append((at, value))
        before = column
    return points


def thinned(spans: Iterable[tuple[float, float]], start: float, end: float) -> list[tuple[float, float]]:
    """Returns the spans as a picture shows them: those that are closer than a column are one."""
    column = (end - start) / COLUMNS
    result: list[tuple[float, float]] = []
    for first, last in spans:
        if result and first - result[-1][1] < column:
            result[-1] = (result[-1][0], last)
        else:
            result.append((first, last))
    return result


# --- The picture ---


class Rectangle(NamedTuple):
    x: float
    y: float
    width: float
    height: float
    tone: str
    title: str


class Level(NamedTuple):
    """A horizontal line with its text."""

    y: float
    text: str
    tone: str

    @property
    def text_x(self) -> int:
        """Returns where its text begins or ends: beside that of another level, which may be as high."""
        return {"edge": 2, "present": WIDTH - 160, "proposed": WIDTH}[self.tone]


class Picture(NamedTuple):
    lines: list[str]
    levels: list[Level]
    ticks: list[tuple[float, str]]
    rectangles: list[Rectangle]
    shades: list[Rectangle]


def picture_of(result: Mapping[str, Any]) -> Picture:
    """Returns the shapes of a preview, in units of WIDTH by HEIGHT."""
    start, end = result["start"], result["end"]
    low, high = extent(result)

    def x(at: float) -> float:
        return float(round((at - start) / (end - start) * WIDTH, 1))

    def y(value: float) -> float:
        return round(BOTTOM - (value - low) / (high - low) * (BOTTOM - TOP), 1)

    def bar(span: Sequence[float], top: float, height: float, tone: str, what: str) -> Rectangle:
        first = x(span[0])
        lasts = timedelta(seconds=round(span[1] - span[0]))
        title = f"{what} from {clock(span[0])} for {lasts}"
        return Rectangle(first, top, max(1.5, round(x(span[1]) - first, 1)), height, tone, title)

    rectangles = [
        bar(span, LANES[lane], LANE_HEIGHT, f"{lane}-{state}", f"{lane}: {state}")
        for lane in LANES
        for state in ("pending", "firing")
        for span in result[lane].get(state, ())
    ]
    shades = [
        bar(span, TOP, BOTTOM - TOP, state, f"proposed: {state}")
        for state in ("pending", "firing")
        for span in result["proposed"].get(state, ())
    ]
    return Picture(
        lines=[path(line["points"], x, y) for line in result["lines"]],
        levels=list(levels(result, low, high, y)),
        ticks=[(x(at), text) for at, text in ticks(start, end)],
        rectangles=rectangles,
        shades=shades,
    )


def extent(result: Mapping[str, Any]) -> tuple[float, float]:
    """Returns the lowest and the highest value of the picture; the thresholds are among them."""
    values = [value for line in result["lines"] for _at, value in line["points"] if value is not None]
    if result["comparison"]:
        values += [result[which]["threshold"] for which in ("present", "proposed")]
    low, high = min(values, default=0.0), max(values, default=1.0)
    low = (
        min(low, 0.0) if low >= 0 and low < (high - low) else low
    )  # a picture from zero, unless that hides all
    return (low, high) if low < high else (low - 1, high + 1)


def levels(
    result: Mapping[str, Any], low: float, high: float, y: Callable[[float], float]
) -> Iterator[Level]:
    yield Level(y(low), short(low), "edge")
    yield Level(y(high), short(high), "edge")
    if not result["comparison"]:
        return
    present, proposed = result["present"]["threshold"], result["proposed"]["threshold"]
    if present != proposed:
        yield Level(y(present), f"now {number_text(float(present))}", "present")
    yield Level(y(proposed), f"{result['comparison']} {number_text(float(proposed))}", "proposed")


def path(points: Sequence[Sequence[Any]], x: Callable[[float], float], y: Callable[[float], float]) -> str:
    """Returns the data of an SVG path; a point without a value interrupts the line."""
    parts = []
    is_open = False
    for at, value in points:
        if value is None:
            is_open = False
            continue
        parts.append(f"{'L' if is_open else 'M'}{x(at):g} {y(value):g}")
        if not is_open:
            parts.append("h.5")  # one sample alone is a dot
        is_open = True
    return " ".join(parts)


def ticks(start: float, end: float) -> Iterator[tuple[float, str]]:
    """Yields up to eight moments for the axis: whole hours or days, in UTC."""
    for step in (900, 3600, 3 * 3600, 86_400, 5 * 86_400):
        if (end - start) / step <= 8:
            break
    at = math.ceil(start / step) * step
    while at < end:
        moment = datetime.fromtimestamp(at, UTC)
        yield at, f"{moment:%H:%M}" if step < 86_400 else f"{moment.day} {moment:%b}"
        at += step


def clock(at: float) -> str:
    moment = datetime.fromtimestamp(at, UTC)
    return f"{moment.day} {moment:%b %H:%M:%S}"


def short(value: float) -> str:
    return f"{value:.4g}"
