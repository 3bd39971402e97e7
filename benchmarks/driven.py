"""A program in a process of its own that executes commands, one a line, and answers each with a line."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.servers import ROOT, Stage


class Driven:
    """Running and ready."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.read()  # "ready"

    def ask(self, command: str) -> str:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{command}\n")
        self.process.stdin.flush()
        return self.read()

    def number(self, command: str) -> float:
        return float(self.ask(command))

    def read(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline().strip()
        if not line:
            raise RuntimeError(f"{self.process.args!r} ended.")
        return line


@contextmanager
def driven(stage: Stage, name: str, command: list[str], environment: dict[str, str]) -> Iterator[Driven]:
    with (
        (stage.folder / f"{name}.log").open("wb") as log,
        subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as process,
    ):
        try:
            yield Driven(process)
        finally:
            process.terminate()
