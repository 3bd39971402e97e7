"""O1 how long programs take to end while collector and Sentry hang, O2 webhook latency while Redis hangs."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks import figures
from benchmarks.ingest import check
from benchmarks.load import paced
from benchmarks.pipelines import amani_pipeline
from benchmarks.plan import Plan
from benchmarks.servers import ROOT, Stage, amani_environment
from benchmarks.table import Row, Verdict, number, pair

RATE = 20  # webhooks a second
LONGEST_END_SECONDS = 60
# Of the worker's time Celery takes two seconds for itself.
END_GOAL = {"web": 2.0, "beat": 2.0, "worker": 3.5, "command": 2.0}  # seconds
END_GATE = {"web": 3.0, "beat": 3.0, "worker": 4.0, "command": 3.0}
ANSWER_GOAL, ANSWER_GATE = (10.0, 50.0), (50.0, 250.0)  # p50 and p99 in milliseconds

WORK = (
    "import time; from observability.tracing import get_tracer;"
    "span = get_tracer('command').start_span('work'); span.end(); print(time.time()); raise OSError('no')"
)


def measure(stage: Stage, plan: Plan, _peer_problem: str) -> list[Row]:
    return [end_row(stage), answer_row(stage, plan)]


@contextmanager
def silent_server() -> Iterator[str]:
    """Takes connections and never answers; `host:port`."""
    with socket.create_server(("127.0.0.1", 0), backlog=200) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def end_row(stage: Stage) -> Row:
    """From SIGTERM, or from a command's last statement, to the end of the program."""
    with silent_server() as address:
        hanging: dict[str, Any] = {
            "TRACING_ENABLED": "true",
            "TRACING_EXPORTER": "otlp",
            "TRACING_SAMPLE_RATE": "1",
            "OTLP_ENDPOINT": f"http://{address}",
            "OTLP_PROTOCOL": "http/protobuf",
            "SENTRY_DSN": f"http://key@{address}/1",
        }
        with amani_pipeline(stage, "outages", **hanging) as pipeline:
            beat, worker, web, _sink = pipeline.processes
            check(pipeline.server, paced(pipeline.server.target, RATE, 2, seed=1))  # spans that wait
            seconds = {
                "beat": seconds_to_end(beat),
                "worker": seconds_to_end(worker),
                "web": seconds_to_end(web),
                "command": seconds_of_a_command(stage, pipeline.server.database_url, hanging),
            }
    return Row(
        key="O1",
        measure=f"collector and Sentry hang: seconds until {' / '.join(END_GOAL)} has ended",
        amani=each(seconds),
        goal=f"≤ {each(END_GOAL)}",
        gate=f"≤ {each(END_GATE)}",
        verdict=Verdict.of(goal=are_within(seconds, END_GOAL), gate=are_within(seconds, END_GATE)),
    )


def each(seconds: dict[str, float]) -> str:
    return " / ".join(number(seconds[name]) for name in END_GOAL)


def are_within(seconds: dict[str, float], longest: dict[str, float]) -> bool:
    return all(seconds[name] <= longest[name] for name in longest)


def seconds_to_end(process: subprocess.Popen[bytes]) -> float:
    began = time.monotonic()
    process.terminate()
    process.wait(LONGEST_END_SECONDS)
    return time.monotonic() - began


def seconds_of_a_command(stage: Stage, database_url: str, settings: dict[str, Any]) -> float:
    """Of one that fails, with a span and an error that wait."""
    done = subprocess.run(
        [sys.executable, "manage.py", "shell", "--no-imports", "--command", WORK],
        cwd=ROOT,
        env=amani_environment(stage, "outages", database_url, **settings),
        capture_output=True,
        text=True,
        check=False,
        timeout=LONGEST_END_SECONDS,
    )
    return time.time() - float(done.stdout.splitlines()[-1])


def answer_row(stage: Stage, plan: Plan) -> Row:
    with amani_pipeline(stage, "outages_redis") as pipeline:
        paced(pipeline.server.target, RATE, 2, seed=99)
        os.kill(stage.valkey.pid, signal.SIGSTOP)
        try:
            result = paced(pipeline.server.target, RATE, plan.paced_seconds, seed=1)
        finally:
            os.kill(stage.valkey.pid, signal.SIGCONT)
        check(pipeline.server, result)
    measured = figures.p50_p99(result.latencies)
    return Row(
        key="O2",
        measure=f"Redis hangs: webhook answered, p50 / p99 ms at {RATE}/s",
        amani=pair(measured),
        goal=f"≤ {pair(ANSWER_GOAL)}",
        gate=f"≤ {pair(ANSWER_GATE)}",
        verdict=Verdict.of(goal=is_within(measured, ANSWER_GOAL), gate=is_within(measured, ANSWER_GATE)),
    )


def is_within(measured: tuple[float, float], longest: tuple[float, float]) -> bool:
    return measured[0] <= longest[0] and measured[1] <= longest[1]
