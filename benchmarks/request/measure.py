"""Processor time, Python calls and memory of a request with one query, in each set-up, in turn."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import psycopg

from benchmarks import peer
from benchmarks.driven import Driven, driven
from benchmarks.plan import Plan
from benchmarks.request.ours import SETUPS
from benchmarks.request.rows import Figures, rows
from benchmarks.servers import Stage, wait_for_port
from benchmarks.table import Row
from local.ports import find_free_port

REQUESTS = 960  # half a second of a busy worker, which sends its spans every second
SCHEMA = "CREATE TABLE item AS SELECT id, 'item ' || id AS name FROM generate_series(1, 100) AS id"
SHARED = ("Django", "psycopg", "prometheus-client", "django-prometheus", "structlog", "sentry-sdk")
SPANS = 2  # of a request: its own and its statement's


@contextmanager
def running_site(stage: Stage, setup: str, python: str, environment: dict[str, str]) -> Iterator[Driven]:
    folder = stage.folder / f"metrics-request-{setup}"
    folder.mkdir(exist_ok=True)
    command = [python, "-m", "benchmarks.request.site", setup]
    with driven(
        stage, f"request-{setup}", command, environment | {"PROMETHEUS_MULTIPROC_DIR": str(folder)}
    ) as site:
        yield site


def measure(stage: Stage, plan: Plan, peer_problem: str) -> list[Row]:
    environment = stage.plain_environment(DATABASE_URL=make_database(stage), **start_collector(stage))
    pythons = dict.fromkeys(("bare", *SETUPS, "libraries"), sys.executable)
    if not peer_problem:
        check_versions(peer.python())
        pythons["usual"] = peer.python()
    with ExitStack() as stack:
        sites = {
            name: stack.enter_context(running_site(stage, name, python, environment))
            for name, python in pythons.items()
        }
        before = sites["all"].number("spans")
        measured = {name: site for name, site in sites.items() if name != "libraries"}
        timed = {name: site for name, site in measured.items() if name != "untraced"}
        calls = {name: site.number(f"calls {plan.profiled_requests}") for name, site in measured.items()}
        # Exactly a tenth: of a thousand requests 90 to 115 are sampled, which would be 15 calls.
        calls["tenth"] = 0.9 * calls["untraced"] + 0.1 * calls["all"]
        figures = Figures(
            microseconds=in_turn(timed, plan.request_rounds),
            megabytes={name: site.number("memory") for name, site in sites.items()},
            calls=calls,
        )
        check_spans(
            sites["all"].number("spans") - before, plan.request_rounds * REQUESTS + plan.profiled_requests
        )
    return rows(figures)


def check_versions(python: str) -> None:
    """A figure must not be that of another version of what both sides use."""
    code = f"from importlib.metadata import version; print(*map(version, {SHARED}))"
    ours, theirs = (
        subprocess.run([one, "-c", code], capture_output=True, text=True, check=True).stdout
        for one in (sys.executable, python)
    )
    if ours != theirs:
        raise RuntimeError(
            f"Of {SHARED} Amani has {ours}, the usual set-up {theirs}: make lock ARGS=--upgrade."
        )


def make_database(stage: Stage) -> str:
    database_url = stage.postgres.make_database("request")
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(SCHEMA)
    return database_url


def start_collector(stage: Stage) -> dict[str, str]:
    """Where the sites find it."""
    http, grpc = find_free_port(), find_free_port()
    command = [sys.executable, "-m", "benchmarks.request.collector", str(http), str(grpc)]
    process = stage.start("collector", command, stage.plain_environment())
    wait_for_port(stage, "collector", process, http)
    return {
        "HTTP_COLLECTOR": f"http://127.0.0.1:{http}",
        "GRPC_COLLECTOR": f"http://127.0.0.1:{grpc}",
        "SENTRY_SINK": f"http://0123456789abcdef0123456789abcdef@127.0.0.1:{http}/1",
    }


def in_turn(sites: dict[str, Driven], rounds: int) -> dict[str, list[float]]:
    """Microseconds a request, by round; every other round in the opposite order."""
    measured: dict[str, list[float]] = {name: [] for name in sites}
    names = list(sites)
    for round_number in range(rounds):
        for name in names if round_number % 2 else names[::-1]:
            measured[name].append(sites[name].number(f"serve {REQUESTS}") / REQUESTS * 1e6)
    return measured


def check_spans(exported: float, requests: int) -> None:
    """What was cheap because it was lost doesn't count."""
    if exported != SPANS * requests:
        raise RuntimeError(f"{exported:.0f} spans of {requests} requests arrived, not {SPANS * requests}.")
