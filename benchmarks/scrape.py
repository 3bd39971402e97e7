"""One scrape of what many dead processes have left: Amani's `/metrics` and upstream's collector, in turn.

Upstream is `MultiProcessCollector` with prometheus_client's own encoder. Each runs in a process of its own,
made anew for each round, and both have to say the same.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median

from benchmarks import figures
from benchmarks.driven import Driven, driven
from benchmarks.plan import Plan
from benchmarks.servers import Stage
from benchmarks.table import Row, Verdict, number

PROCESSES, SAMPLES = 32, 5000
CALLS = (1 / 5, 1 / 5)  # goal and gate, times upstream's
CPU = (1 / 3, 1 / 2)
EXEMPLARS = 20_000


@dataclass(frozen=True)
class Scrapes:
    """Of the first scrape of a process and of the next."""

    first: list[float]
    warm: list[float]


def measure(stage: Stage, plan: Plan, _peer_problem: str) -> list[Row]:
    from observability.tests.metric_files import write_processes

    folder = stage.folder / "scraped"
    folder.mkdir()
    write_processes(folder, PROCESSES, SAMPLES)
    check_equal(stage)
    return [
        row("R8", "Python calls of a scrape", calls(stage, "ours"), calls(stage, "upstream"), CALLS),
        cpu_row(stage, plan.scrape_rounds),
        exemplar_row(stage),
    ]


@contextmanager
def scraper(stage: Stage, kind: str) -> Iterator[Driven]:
    command = [sys.executable, "-m", "benchmarks.scraper", kind, str(stage.folder / "scraped")]
    with driven(stage, f"scraper-{kind}", command, stage.plain_environment()) as program:
        yield program


def check_equal(stage: Stage) -> None:
    """And that it is all of it: each file has SAMPLES values, and histograms a count more for each child."""
    with scraper(stage, "ours") as ours, scraper(stage, "upstream") as upstream:
        said, expected = ours.ask("digest"), upstream.ask("digest")
    if said != expected or int(said.split()[1]) < SAMPLES:
        raise RuntimeError(f"Amani's scrape and upstream's differ: {said} and {expected} (digest, lines).")


def calls(stage: Stage, kind: str) -> Scrapes:
    with scraper(stage, kind) as program:
        return Scrapes([program.number("calls")], [program.number("calls")])


def cpu_row(stage: Stage, rounds: int) -> Row:
    ours, upstream = Scrapes([], []), Scrapes([], [])
    for _ in range(rounds):
        for kind, found in (("ours", ours), ("upstream", upstream)):
            with scraper(stage, kind) as program:
                found.first.append(program.number("cpu") * 1000)
                found.warm.append(program.number("cpu") * 1000)
    return row("R9", "CPU ms of a scrape", ours, upstream, CPU)


def row(key: str, measure: str, ours: Scrapes, upstream: Scrapes, allowed: tuple[float, float]) -> Row:
    first = figures.ratios(ours.first, upstream.first)
    warm = figures.ratios(ours.warm, upstream.warm)
    worst = max(first, warm)
    return Row(
        key=key,
        measure=f"{measure}, {PROCESSES} dead processes of {SAMPLES:,} samples: first / later",
        amani=f"{number(median(ours.first))} / {number(median(ours.warm))}",
        peer=f"{number(median(upstream.first))} / {number(median(upstream.warm))} upstream's collector",
        of_limit=f"{first:.2f} / {warm:.2f} of peer",
        goal=f"≤ {allowed[0]:.2f} of peer",
        gate=f"≤ {allowed[1]:.2f} of peer",
        verdict=Verdict.of(goal=worst <= allowed[0], gate=worst <= allowed[1]),
    )


def exemplar_row(stage: Stage) -> Row:
    with scraper(stage, "ours") as program:
        microseconds = program.number(f"exemplars {EXEMPLARS}")
    return Row(key="", measure="CPU µs added to an observation by its exemplar", amani=number(microseconds))
