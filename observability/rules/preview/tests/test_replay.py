"""The replay of a rule, beside a model that is written evaluation by evaluation, as Prometheus's own code."""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from observability.rules.preview.fidelity import Fidelity, compare, firing_by_identity, identity, spans_of
from observability.rules.preview.replay import (
    COMPARISONS,
    Condition,
    Grid,
    Periods,
    Series,
    Span,
    clipped,
    common_length,
    evaluations,
    joined,
    replay,
)

STEP = 15.0


def series(values: list[float | None], **labels: str) -> Series:
    """One value for each evaluation, None where the series is absent."""
    there = [(index, value) for index, value in enumerate(values) if value is not None]
    return Series(
        labels, array("l", [index for index, _ in there]), array("d", [value for _, value in there])
    )


@dataclass
class Alert:
    """An alert as Prometheus keeps it (rules/alerting.go): times are seconds since the first evaluation."""

    active_at: float
    fires: bool = False
    keeps_firing_since: float | None = None


def as_prometheus(values: list[float | None], step: float, condition: Condition, after: int) -> list[str]:
    """Returns the state after each evaluation, and after `after` more without the series."""
    states = []
    alert: Alert | None = None
    for number, value in enumerate([*values, *[None] * after]):
        now = number * step
        in_result = value is not None and (
            not condition.comparison or COMPARISONS[condition.comparison](value, condition.threshold)
        )
        if in_result and alert is None:
            alert = Alert(active_at=now)
        if alert is not None and not in_result:
            keeps = False
            if alert.fires and condition.keep_firing_for_seconds > 0:
                if alert.keeps_firing_since is None:
                    alert.keeps_firing_since = now
                keeps = now - alert.keeps_firing_since < condition.keep_firing_for_seconds
            if not keeps:
                alert = None
        elif alert is not None:
            alert.keeps_firing_since = None
            if now - alert.active_at >= condition.for_seconds:
                alert.fires = True
        states.append("" if alert is None else "firing" if alert.fires else "pending")
    return states


def states_of(periods: Periods, count: int) -> list[str]:
    states = [""] * count
    for spans, state in ((periods.pending, "pending"), (periods.firing, "firing")):
        for start, end in spans:
            for index in range(start, end):
                assert states[index] == "", "two states at once"
                states[index] = state
    return states


VALUES = st.lists(st.sampled_from([None, 1.0, 4.0, 5.0, 6.0, math.nan, math.inf]), max_size=40)
SECONDS = st.sampled_from([0.0, 1.0, 14.999, 15.0, 16.0, 30.0, 45.0, 60.0, 100.0])


@given(
    values=VALUES,
    step=st.sampled_from([1.0, 5.0, 15.0, 60.0]),
    comparison=st.sampled_from(["", *COMPARISONS]),
    hold=SECONDS,
    keep=SECONDS,
)
@example(values=[6, None, 6], step=STEP, comparison=">", hold=0.0, keep=15.0)
@example(values=[6, None, None, 6], step=STEP, comparison=">", hold=0.0, keep=15.0)
@example(values=[6, 6, None, 6, 6], step=STEP, comparison=">", hold=15.0, keep=0.0)
def test_the_replay_decides_as_prometheus_does(
    values: list[float | None], step: float, comparison: str, hold: float, keep: float
) -> None:
    condition = Condition(comparison, 5.0, hold, keep)
    after = evaluations(keep, step) + 1
    periods = replay(series(values), step, condition)
    assert states_of(periods, len(values) + after) == as_prometheus(values, step, condition, after)


@pytest.mark.parametrize(
    ("values", "pending", "firing"),
    [
        ([9, 9, 9, 9], [(0, 2)], [(2, 4)]),
        ([9, 9, 1, 9, 9, 9], [(0, 2), (3, 5)], [(5, 6)]),  # `for` begins anew
        ([9, 9, None, 9], [(0, 2), (3, 4)], []),  # and also after a gap
        ([], [], []),
    ],
)
def test_for_is_counted_from_the_first_evaluation(
    values: list[float | None], pending: list[Span], firing: list[Span]
) -> None:
    assert replay(series(values), STEP, Condition(">", 5, for_seconds=30)) == Periods(pending, firing)


def test_what_keeps_firing_needs_no_second_for_when_it_comes_back() -> None:
    values: list[float | None] = [9, 9, 1, 1, 9, 1, 1, 1, 9]
    condition = Condition(">", 5, for_seconds=15, keep_firing_for_seconds=30)
    assert replay(series(values), STEP, condition) == Periods([(0, 1), (8, 9)], [(1, 7)])


def test_an_evaluation_of_a_fraction_of_a_second_is_exact() -> None:
    assert evaluations(0.3, 0.1) == 3
    assert evaluations(0.31, 0.1) == 4
    grid = Grid(start=1000.0, step=0.1, count=10)
    assert [grid.index_of(moment) for moment in (0, 1000.2, 1000.25, 2000)] == [0, 2, 3, 10]


SPANS = st.lists(st.tuples(st.integers(0, 30), st.integers(1, 6)).map(lambda one: (one[0], sum(one))))


@given(some=SPANS, others=SPANS, within=st.tuples(st.integers(0, 20), st.integers(20, 40)))
def test_spans_are_sets_of_evaluations(some: list[Span], others: list[Span], within: Span) -> None:
    def points(spans: list[Span]) -> set[int]:
        return {index for start, end in spans for index in range(start, end)}

    assert points(joined(some)) == points(some)
    assert common_length(joined(some), joined(others)) == len(points(some) & points(others))
    assert points(clipped(some, within)) == points(some) & points([within])


# --- Fidelity ---


def test_fidelity_counts_the_evaluations_at_which_either_fires() -> None:
    a, b, c = (identity({"job": name}, ()) for name in "abc")
    found = compare({a: [(0, 10)], b: [(5, 6)]}, {a: [(1, 12)], c: [(0, 4)]})
    assert found == Fidelity(both=9, only_replayed=2, only_recorded=6)
    assert found.share == pytest.approx(9 / 17)
    assert not found.is_trusted


def test_without_anything_that_fires_there_is_no_figure() -> None:
    assert compare({}, {}).share is None
    assert compare({}, {}).is_trusted


@pytest.mark.parametrize(("both", "trusted"), [(90, True), (89, False)])
def test_below_ninety_percent_a_preview_cannot_be_trusted(both: int, trusted: bool) -> None:
    assert Fidelity(both, 100 - both, 0).is_trusted is trusted


def test_an_alert_is_recognised_by_the_labels_of_its_series() -> None:
    recorded = {
        "__name__": "ALERTS",
        "alertname": "Slow",
        "alertstate": "firing",
        "severity": "warning",
        "job": "a",
    }
    replayed = {"__name__": "up", "job": "a", "severity": "of the series"}
    assert identity(recorded, ["severity"]) == identity(replayed, ["severity"]) == {("job", "a")}


def test_two_series_of_one_alert_are_one() -> None:
    """Its severity was changed: Prometheus recorded it under other labels from then on."""
    found = [({"job": "a", "severity": "x"}, [(0, 3)]), ({"job": "a", "severity": "y"}, [(3, 5)])]
    assert firing_by_identity(found, ["severity"]) == {frozenset({("job", "a")}): [(0, 5)]}
    assert firing_by_identity([({"job": "a"}, [])], []) == {}
    assert spans_of(series([1, 1, None, 1])) == [(0, 2), (3, 4)]
