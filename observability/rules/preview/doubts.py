"""Finds why a replay differs from what Prometheus recorded: gaps, restarts, series that end, another rule."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from core.console import display
from core.outgoing import Deadline
from observability.alerts.prometheus import NoAnswer, ask
from observability.rules.preview.fidelity import Fidelity
from observability.rules.preview.replay import Grid, Series, Span, joined
from observability.rules.preview.series import coarser, read_values

# Prometheus evaluates no rule while it is down. Its own age of the newest scrape shows that.
AGE_OF_NEWEST_SCRAPE = "time() - max(timestamp(up))"
LONGEST_AGE_SECONDS = 120.0  # a longer one is a gap; no job of deploy/ is scraped more rarely than every 15 s
STARTS_OF_PROMETHEUS = "max(process_start_time_seconds and on (job, instance) prometheus_build_info)"
POINTS = 2_000
MOST_NAMED = 3


class Past(NamedTuple):
    """What happened to Prometheus in a window. `gaps`: spans of seconds since 1970 without any scrape."""

    gaps: list[tuple[float, float]]
    starts: list[float]

    @property
    def missing_seconds(self) -> float:
        return sum(end - start for start, end in self.gaps)


def past_of_prometheus(grid: Grid, deadline: Deadline) -> Past:
    """Returns the gaps and the starts of Prometheus within the window. Raises CannotPreview."""
    coarse = coarser(grid, POINTS)
    scraped = [
        (index, index + 1)
        for index, age in read_values(AGE_OF_NEWEST_SCRAPE, coarse, deadline)
        if age <= LONGEST_AGE_SECONDS
    ]
    starts = {value for _index, value in read_values(STARTS_OF_PROMETHEUS, coarse, deadline)}
    starts |= last_start(deadline)
    return Past(
        # Without any scrape it is a Prometheus that gets its samples in another way.
        gaps=[(coarse.at(start), coarse.at(end)) for start, end in between(scraped, coarse.count) if scraped],
        starts=sorted(start for start in starts if grid.start < start <= grid.at(grid.count - 1)),
    )


def last_start(deadline: Deadline) -> set[float]:
    """Returns when Prometheus was started, also for one that does not scrape itself."""
    try:
        return {datetime.fromisoformat(ask("status/runtimeinfo", deadline)["startTime"]).timestamp()}
    except (NoAnswer, TypeError, KeyError, ValueError):
        return set()


def between(spans: Iterable[Span], end: int) -> Iterator[Span]:
    """Yields what lies between `spans`, before the first, and after the last one up to `end`."""
    covered = 0
    for start, until in joined(list(spans)):
        if start > covered:
            yield covered, start
        covered = until
    if covered < end:
        yield covered, end


def doubts(
    fidelity: Fidelity,
    grid: Grid,
    *,
    series: list[Series],
    past: Past,
    interval: float,
    changed_at: datetime,
) -> list[str]:
    """Returns what may be the reason for a low fidelity, each as a sentence.

    `interval`: seconds between evaluations of the rule. `changed_at`: when it was last changed, or added.
    """
    return [
        directions(fidelity, grid),
        *about_the_rule(grid, interval, changed_at),
        *about_prometheus(past),
        *about_series(series, grid),
    ]


def directions(fidelity: Fidelity, grid: Grid) -> str:
    ours, theirs = (
        display.duration(timedelta(seconds=count * grid.step))
        for count in (fidelity.only_replayed, fidelity.only_recorded)
    )
    return (
        f"The replay fires for {ours} for which Prometheus recorded nothing, and Prometheus recorded "
        f"{theirs} in which the replay does not fire."
    )


def about_the_rule(grid: Grid, interval: float, changed_at: datetime) -> Iterator[str]:
    if changed_at.timestamp() > grid.start:
        at = moment(changed_at.timestamp())
        yield f"The rule was changed or added at {at}: what was recorded before is of another one, if any."
    if grid.step > interval:
        yield (
            f"The rule is evaluated every {interval:g} s, the replay every {grid.step:g} s: shorter times of "
            "firing are missed. Ask for fewer days."
        )


def about_prometheus(past: Past) -> Iterator[str]:
    if past.gaps:
        named = ", ".join(f"{moment(start)} to {moment(end)}" for start, end in past.gaps[:MOST_NAMED])
        missing = display.duration(timedelta(seconds=past.missing_seconds))
        named += more(past.gaps)
        yield f"Prometheus has gaps of {missing} in all ({named}): it evaluated nothing then."
    if past.starts:
        named = ", ".join(moment(start) for start in past.starts[:MOST_NAMED])
        yield f"Prometheus was restarted ({named}{more(past.starts)}): what was pending began anew."


def about_series(series: list[Series], grid: Grid) -> Iterator[str]:
    broken = sum(len(one.indices) < grid.count for one in series)
    if broken:
        yield (
            f"{broken} of {len(series)} series have no sample for a part of the time (a target that was "
            "away, a stale series): an alert of theirs begins anew when the series is back."
        )


def moment(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%d %b %H:%M} UTC"


def more(things: list[float] | list[tuple[float, float]]) -> str:
    left = len(things) - MOST_NAMED
    return f" and {left} more" if left > 0 else ""
