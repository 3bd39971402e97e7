"""Whole ways from webhook to vendor: Amani with its worker and beat, the limit with its relay."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.servers import Server, Stage, amani_environment, start_amani, start_limit, wait_for_port
from benchmarks.sink import Arrival, arrivals
from local.ports import find_free_port
from local.processes import wait_until


@dataclass(frozen=True)
class Pipeline:
    """A server whose notifications arrive in `file`."""

    server: Server
    file: Path
    processes: tuple[subprocess.Popen[bytes], ...]
    backlog: tuple[str, str]  # table and condition of what is not sent yet

    @property
    def name(self) -> str:
        return self.server.name

    def arrivals(self) -> list[Arrival]:
        return arrivals(self.file)

    def told_at(self) -> dict[str, float]:
        """Identity of each alert → when a message that named it was taken."""
        sent: dict[str, float] = {}
        for arrival in self.arrivals():
            if arrival.status == 200:
                for identity in arrival.identities:
                    sent.setdefault(identity, arrival.at)
        return sent

    def wait_until_told(self, identities: set[str], seconds: float) -> bool:
        def all_told() -> bool:
            time.sleep(0.2)  # reading the file takes processor time from those who are measured
            return identities <= self.told_at().keys()

        return wait_until(all_told, seconds)

    def drain(self) -> None:
        """Waits until nothing is left to tell, then empties the tables and the file."""
        wait_until(lambda: self.server.count(*self.backlog) == 0, 60)
        self.server.empty()


def start_sink(stage: Stage, name: str, rate: float = 0.0) -> tuple[subprocess.Popen[bytes], int, Path]:
    port, file = find_free_port(), stage.folder / f"{name}.arrivals"
    command = [sys.executable, "-m", "benchmarks.sink", str(port), str(file), str(rate)]
    process = stage.start(f"{name}-sink", command, None)
    wait_for_port(stage, f"{name}-sink", process, port)
    return process, port, file


@contextmanager
def amani_pipeline(stage: Stage, name: str, *, sink_rate: float = 0.0, **changes: str) -> Iterator[Pipeline]:
    """`changes`: settings. Without pacing, unless they say otherwise."""
    sink, port, file = start_sink(stage, name, sink_rate)
    address = f"http://127.0.0.1:{port}/services/T0/B0/benchmark"
    settings = {
        "SLACK_WEBHOOK_URL": address,
        "SLACK_MESSAGES_PER_SECOND": "0",
        "PAGERDUTY_API_KEY": "benchmark-routing-key-0123456789",
        "PAGERDUTY_EVENTS_URL": f"http://127.0.0.1:{port}/v2/enqueue",
        "PAGERDUTY_EVENTS_PER_MINUTE": "0",
        **changes,
    }
    environment = amani_environment(stage, name, stage.postgres.make_database(name), **settings)
    server = start_amani(stage, name, environment)
    celery = [sys.executable, "-m", "celery", "--quiet", "-A", "amani"]
    schedule = str(stage.folder / f"{name}.schedule")
    worker = stage.start(f"{name}-worker", [*celery, "worker"], environment)
    beat = stage.start(f"{name}-beat", [*celery, "beat", "--schedule", schedule], environment)
    alive = "observability_heartbeat", "name = 'worker'"
    backlog = "observability_delivery", "state IN ('pending', 'sending', 'digested')"
    pipeline = Pipeline(server, file, (beat, worker, server.process, sink), backlog)
    with stopping(stage, pipeline):
        if not wait_until(lambda: server.count(*alive) == 1, 60):
            raise RuntimeError(f"The worker gave no sign of life: {stage.last_words(f'{name}-worker')}")
        yield pipeline


@contextmanager
def limit_pipeline(stage: Stage, name: str) -> Iterator[Pipeline]:
    sink, port, file = start_sink(stage, name)
    server = start_limit(stage, name, stage.postgres.make_database(name), notifies=True)
    environment = stage.plain_environment(DATABASE_URL=server.database_url)
    relay = stage.start(
        f"{name}-relay", [sys.executable, "-m", "benchmarks.limit.relay", str(port)], environment
    )
    pipeline = Pipeline(server, file, (relay, server.process, sink), ("outbox", "sent_at IS NULL"))
    with stopping(stage, pipeline):
        yield pipeline


@contextmanager
def stopping(stage: Stage, pipeline: Pipeline) -> Iterator[None]:
    try:
        yield
    finally:
        for process in pipeline.processes:
            stage.stop(process)
