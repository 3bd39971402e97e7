"""What a picture of a window shows: few points, the worst of each column, thresholds within it."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import pytest

from observability.rules.preview.chart import (
    COLUMNS,
    MOST_LINES,
    Level,
    extent,
    lines_of,
    path,
    picture_of,
    thinned,
    ticks,
)
from observability.rules.preview.outcome import Candidate, outcome_of
from observability.rules.preview.replay import Condition, Grid
from observability.rules.preview.tests.test_replay import series

START = datetime(2026, 11, 26, tzinfo=UTC).timestamp()


def lines(values: list[list[float | None]], comparison: str = ">") -> list[dict[str, Any]]:
    candidates = [Candidate(series(one, number=str(number)), True) for number, one in enumerate(values)]
    count = max(map(len, values))
    outcome = outcome_of(candidates, 15.0, Condition(comparison, 5, 0))
    return lines_of(candidates, [outcome], Grid(START, 15.0, count), (0, count))


def test_of_each_column_the_value_is_kept_that_is_closest_to_firing() -> None:
    values: list[float | None] = [1.0] * (COLUMNS * 2)
    values[101] = 3.0
    values[103] = -3.0
    [up] = lines([values])
    assert len(up["points"]) == COLUMNS
    assert up["points"][50] == (START + 100 * 15, 3.0)
    assert max(value for _at, value in up["points"]) == 3
    assert min(value for _at, value in up["points"]) == 1
    [down] = lines([values], "<")
    assert down["points"][51] == (START + 102 * 15, -3.0)


def test_a_line_is_interrupted_where_there_is_no_value() -> None:
    [line] = lines([[1.0, None, 2.0, math.inf, math.nan, 3.0]])
    assert [value for _at, value in line["points"]] == [1, None, 2, None, 3]
    assert path([(0, 1), (1, 2), (2, None), (5, 3)], float, float) == "M0 1 h.5 L1 2 M5 3 h.5"


def test_the_series_that_fire_most_are_drawn() -> None:
    quiet: list[list[float | None]] = [[float(number % 5)] * 4 for number in range(20)]
    drawn = lines([*quiet, [1, 9, 9, 1], [1, 9, 1, 1]])
    assert len(drawn) == MOST_LINES
    assert [line["labels"]["number"] for line in drawn[:2]] == ["20", "21"]


def test_periods_that_are_closer_than_a_column_are_one() -> None:
    assert thinned([(0, 1), (1.5, 3), (30, 31)], 0, COLUMNS) == [(0, 3), (30, 31)]


def result(points: list[tuple[float, float | None]], **changes: Any) -> dict[str, Any]:
    nothing: dict[str, Any] = {"threshold": 5.0, "firing": [], "pending": []}
    return {
        "start": 0.0,
        "end": 960.0,
        "comparison": ">",
        "lines": [{"labels": {}, "points": points}],
        "present": nothing,
        "proposed": nothing,
        "recorded": {"firing": []},
    } | changes


def test_thresholds_are_within_the_picture() -> None:
    assert extent(result([(0, 1.0)])) == (0, 5)
    assert extent(result([(0, 100.0), (1, 101.0)], comparison="")) == (100, 101)
    assert extent(result([(0, 3.0)], comparison="")) == (2, 4)
    assert extent(result([], comparison="")) == (0, 1)


def test_a_picture_has_both_thresholds_and_all_periods() -> None:
    proposed = {"threshold": 10.0, "firing": [(480, 960)], "pending": [(240, 480)]}
    found = picture_of(result([(0, 0.0), (960, 10.0)], proposed=proposed, recorded={"firing": [(0, 96)]}))
    assert found.lines == ["M0 250 h.5 L960 16"]
    assert found.levels == [
        Level(250, "0", "edge"),
        Level(16, "10", "edge"),
        Level(133, "now 5", "present"),
        Level(16, "> 10", "proposed"),
    ]
    assert [level.text_x for level in found.levels] == [2, 2, 800, 960]
    assert [(one.tone, one.x, one.width) for one in found.rectangles] == [
        ("proposed-pending", 240, 240),
        ("proposed-firing", 480, 480),
        ("recorded-firing", 0, 96),
    ]
    assert found.rectangles[1].title == "proposed: firing from 1 Jan 00:08:00 for 0:08:00"
    assert [one.tone for one in found.shades] == ["pending", "firing"]


@pytest.mark.parametrize(
    ("days", "first", "count"), [(1, "00:00", 8), (7, "26 Nov", 7), (30, "28 Nov", 6), (1 / 24, "00:00", 4)]
)
def test_the_axis_has_whole_hours_or_days(days: float, first: str, count: int) -> None:
    found = [text for _at, text in ticks(START, START + days * 86_400)]
    assert (found[0], len(found)) == (first, count)
