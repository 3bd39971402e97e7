"""The past of an expression: chunks, limits and refusals, against a Prometheus over real HTTP."""

from __future__ import annotations

from array import array
from datetime import UTC, datetime
from typing import Any

import pytest

from core.outgoing import Deadline
from local.ports import find_free_port
from observability.rules.preview.doubts import Past as PastOfPrometheus
from observability.rules.preview.doubts import doubts, past_of_prometheus
from observability.rules.preview.errors import CannotPreview
from observability.rules.preview.fidelity import Fidelity
from observability.rules.preview.replay import Grid, Series
from observability.rules.preview.series import (
    grid_for,
    look_at,
    read_series,
)
from observability.rules.preview.tests.past import Past, refused
from observability.tests.prometheus_stand_in import success
from observability.tests.vendors import Reply
from observability.tests.waiting import ANSWER_SECONDS

END = datetime(2026, 11, 26, 12, 0, tzinfo=UTC).timestamp()
DAY = 86_400.0


def deadline() -> Deadline:
    return Deadline(ANSWER_SECONDS)


def read(expression: str, grid: Grid, **more: Any) -> list[Series]:
    return read_series(expression, grid, deadline(), **{"progress": lambda share: None} | more)


# --- Which evaluations ---


@pytest.mark.parametrize(
    ("days", "interval", "series", "step"),
    [
        (1, 5, 1, 5),
        (7, 5, 1, 15),
        (30, 5, 1, 60),
        (30, 15, 20, 60),
        (30, 15, 40, 105),
        (30, 300, 1, 300),  # a rule that is evaluated more rarely than that is replayed as it is
    ],
)
def test_the_step_is_the_interval_of_the_rule_or_a_multiple_of_it(
    days: int, interval: float, series: int, step: float
) -> None:
    grid = grid_for(end=END, seconds=days * DAY, interval=interval, series=series)
    assert grid.step == step
    assert grid.at(grid.count - 1) == END
    assert END - days * DAY <= grid.start < END - days * DAY + step
    assert grid.count * series <= 1_000_000 + series


def test_too_many_series_are_refused_with_what_to_do() -> None:
    with pytest.raises(CannotPreview, match=r"500 series, too many for 30 days\. Ask for fewer days, or agg"):
        grid_for(end=END, seconds=30 * DAY, interval=15, series=500)
    assert grid_for(end=END, seconds=DAY, interval=15, series=500).step == 45


# --- Chunks ---


def test_a_window_is_read_in_chunks_that_prometheus_answers(prometheus: Past) -> None:
    prometheus.series["up"] = [
        ({"job": "a"}, lambda at: at - END),
        ({"job": "b"}, lambda at: 1.0 if at > END - 100 else None),
    ]
    grid = Grid(END - 25_000, 1.0, 25_001)
    shares: list[float] = []
    a, b = read("up", grid, progress=shares.append)
    assert len(prometheus.ranges) == 3
    assert shares == [pytest.approx(share) for share in (10_000 / 25_001, 20_000 / 25_001, 1)]
    assert (a.labels, b.labels) == ({"job": "a"}, {"job": "b"})
    assert a.indices.tolist() == list(range(25_001))
    assert (a.values[0], a.values[-1]) == (-25_000, 0)
    assert b.indices.tolist() == list(range(24_901, 25_001))


def test_many_series_are_read_in_smaller_chunks(prometheus: Past) -> None:
    read("up", Grid(END - 1_000, 1.0, 1_001), series=500)
    assert [float(one["end"]) - float(one["start"]) for one in prometheus.ranges] == [399, 399, 200]


def test_values_that_are_no_numbers_are_kept(prometheus: Past) -> None:
    prometheus.series["up"] = [({}, lambda at: float("inf") if at < END else float("nan"))]
    [found] = read("up", Grid(END - 1, 1.0, 2))
    assert found.values[0] == float("inf")
    assert found.values[1] != found.values[1]


# --- What is refused ---


def test_more_samples_than_were_counted_end_the_preview(
    prometheus: Past, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("observability.rules.preview.series.MOST_SAMPLES", 10)
    prometheus.series["up"] = [({}, lambda at: 1.0)]
    with pytest.raises(CannotPreview, match="more than 10 samples in this window, in 1 series"):
        read("up", Grid(END, 1.0, 11))


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (refused("1:3: parse error: unexpected <op:/>"), "Prometheus rejected the query. 1:3: parse error"),
        (refused("query processing would load too many samples", 422), "would load too many samples"),
        (Reply(503, body="Service Unavailable"), "a response that is not JSON"),
        (success([]), "a response of an unknown form"),
        (success({"result": [{"metric": {}, "values": [["x", "1"]]}]}), "a response of an unknown form"),
        (success({"result": [{"metric": {}, "histograms": [[1, {}]]}]}), "native histograms"),
        (Reply(401), "does not accept the password"),
    ],
)
def test_what_prometheus_refuses_is_said(prometheus: Past, reply: Reply, message: str) -> None:
    prometheus.refuses = reply
    with pytest.raises(CannotPreview, match=message):
        read("up", Grid(END, 1.0, 2))


def test_a_prometheus_that_is_away_is_said(settings: Any) -> None:
    settings.PROMETHEUS_URL = f"http://127.0.0.1:{find_free_port()}"
    with pytest.raises(CannotPreview, match="Prometheus cannot be reached"):
        read("up", Grid(END, 1.0, 2))


def test_a_window_that_takes_too_long_is_given_up(prometheus: Past) -> None:
    prometheus.drip_seconds = 0.02
    with pytest.raises(CannotPreview, match="took too long"):
        read_series("up", Grid(END, 1.0, 2), Deadline(0.2), progress=lambda share: None)
    with pytest.raises(CannotPreview, match="took too long"):
        read_series("up", Grid(END, 1.0, 2), Deadline(0), progress=lambda share: None)


# --- A first look ---


def test_a_look_counts_series_and_finds_the_beginning(prometheus: Past) -> None:
    grid = Grid(END - DAY, 15.0, 5761)
    prometheus.series["count(up)"] = [({}, lambda at: 2.0 if at > END - DAY / 2 else None)]
    prometheus.series["count(x\n)"] = [({}, lambda at: 40.0 if at > END - DAY / 4 else None)]
    look = look_at("x", grid, deadline())
    assert look.series == 40
    assert look.since == pytest.approx(END - DAY / 2, abs=900)
    assert all(float(one["step"]) == 870 for one in prometheus.ranges)


def test_a_look_at_nothing_finds_nothing(prometheus: Past) -> None:
    assert look_at("x", Grid(END - DAY, 15.0, 5761), deadline()) == (0, None)


# --- Why a replay may differ ---


def test_gaps_and_restarts_of_prometheus_are_found(prometheus: Past) -> None:
    grid = Grid(END - 3600, 15.0, 241)
    age = "time() - max(timestamp(up))"
    prometheus.series[age] = [({}, lambda at: None if END - 1800 <= at < END - 900 else 4.0)]
    starts = "max(process_start_time_seconds and on (job, instance) prometheus_build_info)"
    prometheus.series[starts] = [({}, lambda at: END - 9000 if at < END - 900 else END - 905)]
    assert past_of_prometheus(grid, deadline()) == ([(END - 1800, END - 900)], [END - 905])


def test_a_prometheus_that_does_not_scrape_itself_still_says_when_it_started(prometheus: Past) -> None:
    prometheus.series["time() - max(timestamp(up))"] = [({}, lambda at: 0.0)]
    prometheus.replies["runtimeinfo"] = success({"startTime": "2026-11-26T11:30:00Z"})
    assert past_of_prometheus(Grid(END - 3600, 15.0, 241), deadline()) == ([], [END - 1800])
    prometheus.replies["runtimeinfo"] = success({"startTime": 1})
    assert past_of_prometheus(Grid(END - 3600, 15.0, 241), deadline()) == ([], [])


def test_each_doubt_is_a_sentence(prometheus: Past) -> None:

    grid = Grid(END - 3600, 60.0, 61)
    series = [Series({}, array("l", range(61)), array("d", [1] * 61)), Series({}, array("l"), array("d"))]
    found = doubts(
        Fidelity(8, 2, 1),
        grid,
        series=series,
        past=PastOfPrometheus([(END - 1800, END - 900)], [END - 900]),
        interval=15,
        changed_at=datetime(2026, 11, 26, 11, 30, tzinfo=UTC),
    )
    directions, changed, step, gaps, restarts, broken = found
    assert "fires for 2 min for which Prometheus recorded nothing" in directions
    assert "recorded 1 min in which the replay does not fire" in directions
    assert changed.startswith("The rule was changed or added at 26 Nov 11:30 UTC")
    assert "evaluated every 15 s, the replay every 60 s" in step
    assert "gaps of 15 min in all (26 Nov 11:30 UTC to 26 Nov 11:45 UTC)" in gaps
    assert restarts == "Prometheus was restarted (26 Nov 11:45 UTC): what was pending began anew."
    assert broken.startswith("1 of 2 series have no sample for a part of the time")
