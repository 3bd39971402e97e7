"""Environments beside .venv, for programs that pin other versions than Amani; made when first needed."""

import fcntl
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
INSTALL_SECONDS = 300
PIP_OPTIONS = ("--quiet", "--disable-pip-version-check", "--require-hashes")


class Environment:
    """The folder `name` of the checkout, holding what the lock file `requirements` names."""

    def __init__(self, name: str, requirements: Path) -> None:
        self.folder = ROOT / name
        self.requirements = requirements
        self.stamp = self.folder / "amani-requirements"

    @property
    def python(self) -> str:
        return str(self.folder / "bin" / "python")

    def install(self) -> str:
        """Brings it up to date. Returns why that failed; empty when it did not."""
        with self.lock():
            return "" if self.is_current() else self.make()

    def make(self) -> str:
        print(f"Installing {self.requirements.name} into {self.folder.name} ...", file=sys.stderr, flush=True)
        reason = run(sys.executable, "-m", "venv", "--clear", str(self.folder)) or run(
            self.python, "-m", "pip", "install", *PIP_OPTIONS, "-r", str(self.requirements)
        )
        if not reason:
            self.stamp.write_text(self.wanted_state())
        return reason

    def is_current(self) -> bool:
        return self.stamp.exists() and self.stamp.read_text() == self.wanted_state()

    def wanted_state(self) -> str:
        # The scripts of an environment name their own path: a checkout that moved starts anew.
        return f"{sys.version} {self.folder}\n{self.requirements.read_text()}"

    @contextmanager
    def lock(self) -> Generator[None]:
        """Two runs in one checkout don't make it at the same time."""
        (ROOT / ".run").mkdir(exist_ok=True)
        with (ROOT / ".run" / f"{self.folder.name}.lock").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield


def run(*command: str) -> str:
    """The last line of what the command said when it failed; empty when it did not."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=INSTALL_SECONDS)
    except subprocess.TimeoutExpired:
        return f"not done within {INSTALL_SECONDS} s: {' '.join(command)}"
    if done.returncode == 0:
        return ""
    return (done.stderr.strip().splitlines() or [f"this failed: {' '.join(command)}"])[-1]
