"""Counts what one version of a rule would have done in a window, over all of its alerts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from observability.rules.preview.fidelity import Identity, firing_by_identity
from observability.rules.preview.replay import Condition, Grid, Periods, Series, Span, clipped, joined, replay


class Candidate(NamedTuple):
    """A series that may be an alert: by its value, or because it is there."""

    series: Series
    is_compared: bool


class Outcome(NamedTuple):
    """`periods` has those of each candidate, in their order."""

    condition: Condition
    periods: list[Periods]


def outcome_of(candidates: Iterable[Candidate], step: float, condition: Condition) -> Outcome:
    there = condition._replace(comparison="")
    return Outcome(
        condition,
        [replay(one.series, step, condition if one.is_compared else there) for one in candidates],
    )


def firing_of(outcome: Outcome, within: Span) -> list[list[Span]]:
    return [clipped(periods.firing, within) for periods in outcome.periods]


def alerts_of(
    outcome: Outcome, candidates: Iterable[Candidate], labels_of_rule: Iterable[str], within: Span
) -> dict[Identity, list[Span]]:
    """Returns when each alert fires, by its labels."""
    firing = zip(candidates, firing_of(outcome, within), strict=True)
    return firing_by_identity(((one.series.labels, spans) for one, spans in firing), labels_of_rule)


def summary(firing: Iterable[list[Span]], grid: Grid) -> dict[str, Any]:
    """Returns how often, and how many seconds in all, each alert by itself; and when any of them fires."""
    spans = [span for of_alert in firing for span in of_alert]
    return {
        "times": len(spans),
        "seconds": sum(grid.seconds(span) for span in spans),
        "firing": in_seconds(joined(spans), grid),
    }


def in_seconds(spans: Iterable[Span], grid: Grid) -> list[tuple[float, float]]:
    return [(grid.at(start), grid.at(end)) for start, end in spans]


def told(outcome: Outcome, grid: Grid, within: Span) -> dict[str, Any]:
    """Returns the outcome as data of the page: values, counts, and when any alert was pending or fired."""
    condition = outcome.condition
    pending = joined([span for periods in outcome.periods for span in clipped(periods.pending, within)])
    return {
        "threshold": condition.threshold,
        "for_seconds": condition.for_seconds,
        "keep_firing_for_seconds": condition.keep_firing_for_seconds,
        **summary(firing_of(outcome, within), grid),
        "pending": in_seconds(pending, grid),
    }


def is_of(labels: Mapping[str, str], series: Series, labels_of_rule: frozenset[str]) -> bool:
    """Returns whether an alert with `labels`, as Alertmanager reported them, is the one of `series`."""
    return all(
        labels.get(name, "") == value
        for name, value in series.labels.items()
        if name != "__name__" and name not in labels_of_rule
    )
