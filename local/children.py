"""The programs that `make run` keeps running, and how one that died is started again."""

import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from local.processes import end, group_is_alive, signal_group, spawn, wait_until

ORPHAN_SECONDS = 3.0


class Child(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def process(self) -> subprocess.Popen[bytes] | None: ...
    @property
    def is_running(self) -> bool: ...
    def start(self) -> None: ...
    def stop(self) -> None: ...


class Program:
    """One program of ours that writes its log into the pipe `output`."""

    def __init__(
        self, name: str, command: list[str], *, output: int, environment: Mapping[str, str], folder: Path
    ) -> None:
        self.name = name
        self.command = command
        self.output = output
        self.environment = environment
        self.folder = folder
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        self.process = spawn(
            self.command, environment=self.environment, folder=self.folder, output=self.output
        )

    def stop(self, seconds: float = 5.0) -> None:
        if self.process is not None:
            end(self.process, signal.SIGTERM, seconds)


def end_orphans(process: subprocess.Popen[bytes]) -> None:
    """What a dead program left running (gunicorn's, Celery's workers) may end its work, but not for long."""
    if signal_group(process.pid, signal.SIGTERM):
        wait_until(lambda: not group_is_alive(process.pid), ORPHAN_SECONDS)
        signal_group(process.pid, signal.SIGKILL)


def how_it_ended(process: subprocess.Popen[bytes]) -> str:
    code = process.returncode
    if code < 0:
        return f"was killed by {signal.Signals(-code).name}"
    return f"ended with status {code}"


class Backoff:
    """At once the first time; then 1, 2, 4 … 30 s, until the child has run for a minute."""

    LONGEST = 30.0
    WELL_AFTER = 60.0

    def __init__(self) -> None:
        self.delay = 0.0
        self.started_at = time.monotonic()
        self.due_at: float | None = None

    def started(self) -> None:
        self.started_at = time.monotonic()
        self.due_at = None

    def ended(self) -> float:
        """The child ended: the seconds until it may start again."""
        now = time.monotonic()
        if now - self.started_at > self.WELL_AFTER:
            self.delay = 0.0
        waiting = self.delay
        self.due_at = now + waiting
        self.delay = min(max(1.0, self.delay * 2), self.LONGEST)
        return waiting

    @property
    def is_due(self) -> bool:
        return self.due_at is not None and time.monotonic() >= self.due_at
