"""Which real alerts a threshold would have kept, and the one that separates those worth it from noise."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from observability.models import Episode
from observability.rules.preview.judged import Judged, Suggestion, between, is_kept, judge, suggest
from observability.rules.preview.outcome import Candidate, Outcome, outcome_of, told
from observability.rules.preview.question import Parts, parts_of
from observability.rules.preview.replay import Condition, Grid
from observability.rules.preview.tests.test_replay import series

START = datetime(2026, 11, 26, tzinfo=UTC).timestamp()
GRID = Grid(START, 60.0, 40)


def at(index: int) -> datetime:
    return datetime.fromtimestamp(GRID.at(index), UTC)


def alert(first: int, last: int, mark: str = "", *, acknowledged: bool = False, **labels: str) -> Episode:
    return Episode(
        pk=first,
        starts_at=at(first),
        ends_at=at(last),
        mark=mark,
        acknowledged_at=at(last) if acknowledged else None,
        labels={"alertname": "Slow", "severity": "warning", "job": "a"} | labels,
    )


def with_peaks(*peaks: float, base: float = 0.0) -> Candidate:
    """Three evaluations of each peak, from 1, 6, 11 …"""
    values: list[float | None] = [base] * GRID.count
    for number, peak in enumerate(peaks):
        for index in range(3):
            values[1 + 5 * number + index] = peak
    return Candidate(series(values, job="a"), is_compared=True)


def suggestion(
    candidate: Candidate, alerts: list[Episode], comparison: str = ">", threshold: float = 5, hold: float = 60
) -> Suggestion:
    outcome = outcome_of([candidate], GRID.step, Condition(comparison, threshold, hold))
    return suggest(judge(alerts, [candidate], ["severity"], GRID), [candidate], GRID, outcome)


def test_the_threshold_keeps_what_was_worth_it_and_drops_the_most_noise() -> None:
    alerts = [
        alert(2, 4, "noise"),  # of the peak 10
        alert(7, 9, "noise"),  # 20
        alert(12, 14, "useful"),  # 30
        alert(17, 19, acknowledged=True),  # 25
        alert(22, 24, "noise"),  # 40
        alert(27, 29),  # 12: not judged
    ]
    found = suggestion(with_peaks(10, 20, 30, 25, 40, 12), alerts)
    assert found == Suggestion(threshold=22, dropped=2, noise=3, kept=2)


def test_of_a_rule_that_fires_below_its_threshold_the_suggestion_is_lower() -> None:
    alerts = [alert(2, 4, "noise"), alert(7, 9, "useful")]
    found = suggestion(with_peaks(0.08, 0.02, base=1), alerts, "<", 0.1)
    assert found == Suggestion(threshold=0.05, dropped=1, noise=1, kept=1)


def test_the_value_counts_that_was_kept_for_as_long_as_the_rule_waits() -> None:
    """One evaluation of 100 is no reason to fire for a rule that waits two minutes."""
    values: list[float | None] = [0, 6, 100, 7, 0, 0, 0, 9, 9, 9, 0, *[0] * 29]
    candidate = Candidate(series(values, job="a"), is_compared=True)
    found = suggestion(candidate, [alert(3, 4, "noise"), alert(9, 10, "useful")], hold=120)
    assert found == Suggestion(threshold=8, dropped=1, noise=1, kept=1)


@pytest.mark.parametrize(
    ("alerts", "reason"),
    [
        ([alert(2, 4, "useful")], "No alert of this time is marked as noise."),
        ([alert(2, 4, "noise")], "so nothing says what to keep"),
        ([alert(2, 4, "noise", acknowledged=True)], "so nothing says what to keep"),
        ([alert(2, 4, "useful"), alert(7, 9, "noise")], "no threshold separates them"),
        ([alert(2, 4, "useful", job="gone"), alert(7, 9, "noise")], "no longer in Prometheus"),
    ],
)
def test_without_a_threshold_there_is_a_reason(alerts: list[Episode], reason: str) -> None:
    found = suggestion(with_peaks(10, 20), alerts)
    assert found.threshold is None
    assert reason in found.reason


def test_a_rule_that_compares_for_equality_gets_no_suggestion() -> None:
    found = suggestion(with_peaks(10), [alert(2, 4, "useful")], "==", 10)
    assert "no threshold that could be higher or lower" in found.reason


@pytest.mark.parametrize(
    ("low", "high", "found"), [(12, 30, 20), (20, 25, 22), (0.02, 0.08, 0.05), (-8, -2, -5), (1e9, 3e9, 2e9)]
)
def test_a_number_between_two_has_few_digits(low: float, high: float, found: float) -> None:
    assert between(low, high) == found


def kept(one: Episode, outcome: Outcome, candidate: Candidate) -> bool:
    [judged] = judge([one], [candidate], ["severity"], GRID)
    return is_kept(judged, outcome)


def test_an_alert_is_kept_if_its_own_series_fires_at_its_time() -> None:
    candidate = with_peaks(10, 20)
    outcome = outcome_of([candidate], GRID.step, Condition(">", 15, 60))
    assert kept(alert(7, 9), outcome, candidate)
    assert not kept(alert(2, 4), outcome, candidate)
    assert not kept(alert(7, 9, job="b"), outcome, candidate)
    still_firing = alert(7, 9)
    still_firing.ends_at = None
    assert judge([still_firing], [candidate], [], GRID)[0].span == (7, 40)


# --- Parts and counts ---


def test_an_expression_has_parts_that_are_compared_and_parts_that_are_there() -> None:
    assert parts_of("up", ()) == Parts("up", ())
    assert parts_of("a", ["or on (job) absent(b)"]) == Parts("a", ("absent(b)",))
    assert parts_of("a", ["or absent(b)", "and on (job) c == 1"]) == Parts(
        "(a\n) and on (job) c == 1", ("(absent(b)\n) and on (job) c == 1",)
    )


def test_each_alert_is_counted_by_itself() -> None:
    candidates = [with_peaks(10, 20), with_peaks(20), Candidate(series([1.0] * 3), is_compared=False)]
    found = told(outcome_of(candidates, GRID.step, Condition(">", 15, 60)), GRID, (0, GRID.count))
    assert (found["times"], found["seconds"]) == (3, (2 + 2 + 2) * 60)
    assert found["firing"] == [(GRID.at(1), GRID.at(4)), (GRID.at(7), GRID.at(9))]
    within = told(outcome_of(candidates, GRID.step, Condition(">", 15, 60)), GRID, (3, 8))
    assert (within["times"], within["seconds"]) == (2, 2 * 60)


def test_what_was_judged_is_a_matter_of_marks() -> None:
    def worth(**values: Any) -> bool:
        return Judged(alert(1, 2, **values), (), (1, 2)).is_worth_it

    assert [worth(), worth(mark="useful"), worth(acknowledged=True)] == [False, True, True]
    assert not worth(mark="noise", acknowledged=True)
