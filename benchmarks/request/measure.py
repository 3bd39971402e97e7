"""Processor time and Python calls of a request with one query, in each set-up, in turn."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from statistics import median

import psycopg

from benchmarks import figures, peer
from benchmarks.plan import Plan
from benchmarks.servers import ROOT, Stage
from benchmarks.table import Row, Verdict, number

REQUESTS = 120
PROFILED_REQUESTS = 400
CALLS_GOAL = 45  # added by the metrics
CPU_GOAL, CPU_GATE = 1.25, 1.45  # times bare Django, metrics and logs on
SCHEMA = "CREATE TABLE item AS SELECT id, 'item ' || id AS name FROM generate_series(1, 100) AS id"


class Site:
    """A running set-up."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.read()  # "ready"

    def ask(self, command: str) -> float:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{command}\n")
        self.process.stdin.flush()
        return float(self.read())

    def read(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline().strip()
        if not line:
            raise RuntimeError(f"{self.process.args!r} ended.")
        return line


@contextmanager
def running_site(stage: Stage, setup: str, python: str, database_url: str) -> Iterator[Site]:
    environment = stage.plain_environment(DATABASE_URL=database_url)
    environment["PROMETHEUS_MULTIPROC_DIR"] = str(stage.folder / f"metrics-request-{setup}")
    os.makedirs(environment["PROMETHEUS_MULTIPROC_DIR"], exist_ok=True)  # noqa: PTH103
    with (
        (stage.folder / f"request-{setup}.log").open("wb") as log,
        subprocess.Popen(
            [python, "-m", "benchmarks.request.site", setup],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as process,
    ):
        yield Site(process)
        process.terminate()


def measure(stage: Stage, plan: Plan, peer_problem: str) -> list[Row]:
    database_url = stage.postgres.make_database("request")
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(SCHEMA)
    setups = dict.fromkeys(("bare", "metrics", "amani"), sys.executable)
    if not peer_problem:
        setups["usual"] = peer.python()
    with ExitStack() as stack:
        sites = {
            name: stack.enter_context(running_site(stage, name, python, database_url))
            for name, python in setups.items()
        }
        seconds = in_turn(sites, plan.request_rounds)
        calls = {name: site.ask(f"calls {PROFILED_REQUESTS}") for name, site in sites.items()}
    return [cpu_row(seconds), *calls_rows(calls)]


def in_turn(sites: dict[str, Site], rounds: int) -> dict[str, list[float]]:
    """Microseconds a request, by round; every other round in the opposite order."""
    measured: dict[str, list[float]] = {name: [] for name in sites}
    names = list(sites)
    for round_number in range(rounds):
        for name in names if round_number % 2 else names[::-1]:
            measured[name].append(sites[name].ask(str(REQUESTS)) / REQUESTS * 1e6)
    return measured


def cpu_row(seconds: dict[str, list[float]]) -> Row:
    times = figures.ratios(seconds["amani"], seconds["bare"])
    usual = "not run"
    if "usual" in seconds:
        usual_times = figures.ratios(seconds["usual"], seconds["bare"])
        usual = f"{number(median(seconds['usual']))} ({usual_times:.2f}x) usual set-up"
    return Row(
        key="R1",
        measure="CPU µs per request, metrics and logs on; limit: bare Django",
        amani=number(median(seconds["amani"])),
        limit=number(median(seconds["bare"])),
        of_limit=f"{times:.2f}x",
        peer=usual,
        goal=f"≤ {CPU_GOAL}x",
        gate=f"≤ {CPU_GATE}x",
        verdict=Verdict.of(goal=times <= CPU_GOAL, gate=times <= CPU_GATE),
    )


def calls_rows(calls: dict[str, float]) -> list[Row]:
    bare = calls["bare"]
    metrics, both = calls["metrics"] - bare, calls["amani"] - bare
    usual = f"+{calls['usual'] - bare:.0f} usual set-up" if "usual" in calls else "not run"
    reached = metrics <= CALLS_GOAL
    return [
        Row(
            key="R2",
            measure="Python calls added to a request by the metrics",
            amani=f"+{metrics:.0f}",
            limit=f"{bare:,.0f}",
            goal=f"≤ {CALLS_GOAL}",
            gate=f"≤ {CALLS_GOAL}",
            verdict=Verdict.of(goal=reached, gate=reached),
        ),
        Row(
            key="R3",
            measure="... by the metrics and the log line",
            amani=f"+{both:.0f}",
            limit=f"{bare:,.0f}",
            peer=usual,
        ),
    ]
