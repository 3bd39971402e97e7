"""One scrape of what the processes of an installation have counted, some of which were recycled.

Amani's `/metrics`, whose files are named by slot, and prometheus_client's own collector and encoder of files
that are named by process id, as it is by default, in turn. Each runs in a process of its own.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median

from benchmarks import figures
from benchmarks.driven import Driven, driven
from benchmarks.plan import Plan
from benchmarks.servers import Stage
from benchmarks.table import Row, Verdict, number

SLOTS = ("web-0", "web-1", "worker-main-0", "worker-0", "worker-1", "beat-0")
RECYCLED = 50
SAMPLES = 5000
GOAL, GATE = 0.25, 0.35  # of upstream's processor time
EXEMPLARS = 20_000


def measure(stage: Stage, plan: Plan, _peer_problem: str) -> list[Row]:
    from observability.tests.metric_files import write_processes

    process_ids = [str(1000 + number) for number in range(len(SLOTS) + RECYCLED)]
    for kind, processes in (("ours", SLOTS), ("upstream", process_ids)):
        folder = stage.folder / f"scraped-{kind}"
        folder.mkdir()
        write_processes(folder, processes, SAMPLES)
    check_complete(stage)
    return [cpu_row(stage, plan.scrape_rounds), calls_row(stage), exemplar_row(stage)]


@contextmanager
def scraper(stage: Stage, kind: str) -> Iterator[Driven]:
    command = [sys.executable, "-m", "benchmarks.scraper", kind, str(stage.folder / f"scraped-{kind}")]
    with driven(stage, f"scraper-{kind}", command, stage.plain_environment()) as program:
        yield program


def check_complete(stage: Stage) -> None:
    """That both answers have all series: a histogram has one line, its count, that is in no file."""
    with scraper(stage, "ours") as ours, scraper(stage, "upstream") as upstream:
        lines, expected = ours.number("lines"), upstream.number("lines")
    if lines != expected or lines < SAMPLES:
        raise RuntimeError(f"Amani's scrape has {lines:.0f} lines and upstream's {expected:.0f}.")


def cpu_row(stage: Stage, rounds: int) -> Row:
    ours, upstream = list[float](), list[float]()
    for _ in range(rounds):
        for kind, found in (("ours", ours), ("upstream", upstream)):
            with scraper(stage, kind) as program:
                found.append(program.number("cpu") * 1000)
    ratio = figures.ratios(ours, upstream)
    return Row(
        key="R8",
        measure=f"CPU ms of a scrape, {SAMPLES:,} series in {len(SLOTS)} slots",
        amani=number(median(ours)),
        peer=f"{number(median(upstream))} without slots, after {RECYCLED} recycled workers",
        of_limit=f"{ratio:.2f} of peer",
        goal=f"≤ {GOAL:.2f} of peer",
        gate=f"≤ {GATE:.2f} of peer",
        verdict=Verdict.of(goal=ratio <= GOAL, gate=ratio <= GATE),
    )


def calls_row(stage: Stage) -> Row:
    with scraper(stage, "ours") as ours, scraper(stage, "upstream") as upstream:
        amani, peer = ours.number("calls"), upstream.number("calls")
    return Row(key="", measure="... its Python calls", amani=f"{amani:,.0f}", peer=f"{peer:,.0f}")


def exemplar_row(stage: Stage) -> Row:
    with scraper(stage, "ours") as program:
        microseconds = program.number(f"exemplars {EXEMPLARS}")
    return Row(key="", measure="CPU µs added to an observation by its exemplar", amani=number(microseconds))
