"""The real alerts of a window: which were worth it, which were noise, and what would have kept them."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from django.db.models import Q, QuerySet

from observability.models import Episode
from observability.rules.preview.outcome import Candidate, Outcome, is_of
from observability.rules.preview.replay import Grid, Series, Span, evaluations

MOST_ALERTS = 500  # the newest; the page says so
LONGEST_BEFORE = timedelta(days=30)  # an alert that has fired for longer when the window begins is left out
UP, DOWN = (">", ">="), ("<", "<=")


class Judged(NamedTuple):
    """A real alert. `candidates`: the places of its series; `span`: when it fired, in evaluations."""

    episode: Episode
    candidates: tuple[int, ...]
    span: Span

    @property
    def is_noise(self) -> bool:
        return self.episode.mark == Episode.Mark.NOISE

    @property
    def is_worth_it(self) -> bool:
        """Returns whether it must not be lost: marked as useful, or acknowledged and not marked as noise."""
        return self.episode.mark == Episode.Mark.USEFUL or (
            self.episode.acknowledged_at is not None and not self.is_noise
        )


def episodes_in(alerts: QuerySet[Episode], start: float, end: float) -> list[Episode]:
    """Returns the newest of `alerts` that fired between `start` and `end`, at most MOST_ALERTS."""
    began, ended = datetime.fromtimestamp(start, UTC), datetime.fromtimestamp(end, UTC)
    fires = Q(resolved_at=None) | Q(ends_at=None) | Q(ends_at__gte=began)
    found = alerts.filter(fires, starts_at__range=(began - LONGEST_BEFORE, ended))
    return list(found.order_by("-starts_at")[:MOST_ALERTS])


def judge(
    episodes: Iterable[Episode],
    candidates: Sequence[Candidate],
    labels_of_rule: Iterable[str],
    grid: Grid,
) -> list[Judged]:
    left_out = frozenset(labels_of_rule)
    return [
        Judged(
            episode,
            tuple(
                place for place, one in enumerate(candidates) if is_of(episode.labels, one.series, left_out)
            ),
            span_of(episode, grid),
        )
        for episode in episodes
    ]


def span_of(episode: Episode, grid: Grid) -> Span:
    """Returns the evaluations at which it fired, at least one."""
    end = episode.ends_at or episode.resolved_at
    start = grid.index_of(episode.starts_at.timestamp())
    return start, max(start + 1, grid.count if end is None else grid.index_of(end.timestamp()))


def is_kept(one: Judged, outcome: Outcome) -> bool:
    """Returns whether the outcome fires while the alert fired, by one evaluation more or less."""
    start, end = one.span
    return any(
        fires < end + 1 and ends > start - 1
        for place in one.candidates
        for fires, ends in outcome.periods[place].firing
    )


# --- The threshold that separates what was worth it from noise ---


class Suggestion(NamedTuple):
    """A threshold, or `reason`: why there is none. Counts are of real alerts of the window."""

    threshold: float | None
    reason: str = ""
    dropped: int = 0
    noise: int = 0
    kept: int = 0


def suggest(
    judged: Sequence[Judged], candidates: Sequence[Candidate], grid: Grid, outcome: Outcome
) -> Suggestion:
    """Returns the threshold that keeps each alert that was worth it, and drops the most noise."""
    condition = outcome.condition
    if condition.comparison not in (*UP, *DOWN):
        return Suggestion(None, "The rule has no threshold that could be higher or lower.")
    worth_it = [one for one in judged if one.is_worth_it]
    noise = [one for one in judged if one.is_noise]
    if not noise:
        return Suggestion(None, "No alert of this time is marked as noise.", kept=len(worth_it))
    if not worth_it:
        reason = "No alert of this time was acknowledged or marked as useful, so nothing says what to keep."
        return Suggestion(None, reason, noise=len(noise))
    sign = 1.0 if condition.comparison in UP else -1.0
    hold = evaluations(condition.for_seconds, grid.step)
    reaches = {one.episode.pk: reach(one, candidates, hold, sign) for one in (*worth_it, *noise)}
    must_keep = [found for one in worth_it if (found := reaches[one.episode.pk]) is not None]
    if not must_keep:
        return Suggestion(None, "The series of the alerts that were worth it are no longer in Prometheus.")
    lowest = min(must_keep)
    dropped = [found for one in noise if (found := reaches[one.episode.pk]) is not None and found < lowest]
    if not dropped:
        reason = "What was noise went as far as what was worth it: no threshold separates them."
        return Suggestion(None, reason, noise=len(noise), kept=len(worth_it))
    return Suggestion(sign * between(max(dropped), lowest), "", len(dropped), len(noise), len(worth_it))


def reach(one: Judged, candidates: Sequence[Candidate], hold: int, sign: float) -> float | None:
    """Returns the highest threshold with which the alert would have fired; of a rule with `<`, both negated.

    That is the highest value that its series kept for `for`: the maximum of the minima of `hold` + 1
    evaluations in a row.
    """
    found = [
        reached
        for place in one.candidates
        if candidates[place].is_compared
        and (reached := highest_kept(candidates[place].series, one.span, hold, sign)) is not None
    ]
    return max(found, default=None)


def highest_kept(series: Series, span: Span, hold: int, sign: float) -> float | None:
    first = bisect_left(series.indices, span[0] - hold)
    last = bisect_right(series.indices, span[1])
    best: float | None = None
    run: list[float] = []
    before = -2
    for index, value in zip(series.indices[first:last], series.values[first:last], strict=True):
        if math.isnan(value):
            continue
        run = [*run[-hold:], sign * value] if index == before + 1 and hold else [sign * value]
        before = index
        if len(run) == hold + 1 and (best is None or min(run) > best):
            best = min(run)
    return best


def between(low: float, high: float) -> float:
    """Returns a number between both, with as few digits as possible."""
    middle = (low + high) / 2
    for digits in range(1, 16):
        short = float(f"{middle:.{digits}g}")
        if low < short < high:
            return short
    return middle
