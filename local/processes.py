"""Child processes of ours: started under guard.py, stopped, killed with everything they started."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import IO

GUARD = Path(__file__).with_name("guard.py")
POLL_SECONDS = 0.02
MOST_POLL_SECONDS = 0.25


class ChildFailedError(RuntimeError):
    """A program did not start, or did not become ready in time."""


def spawn(
    command: list[str],
    *,
    user: str | None = None,
    death_signal: signal.Signals = signal.SIGTERM,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    output: IO[bytes] | int | None = None,
) -> subprocess.Popen[bytes]:
    """Start `command` (absolute path first) in its own session.

    On Linux it gets `death_signal` when the *thread* that called this ends, however it ends.
    """
    guard = [sys.executable, "-S", "-E", str(GUARD), str(os.getpid()), str(int(death_signal)), user or "-"]
    return subprocess.Popen(
        guard + command,
        cwd=folder,
        env=None if environment is None else dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT if output is not None else None,
        start_new_session=True,
    )


def signal_group(group: int, number: signal.Signals) -> bool:
    """False when no process is left in the group (macOS answers EPERM for a group of zombies)."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def group_is_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Ask until `condition` holds, less often the longer it takes: asking costs processor time that what is
    waited for may need. False when it did not hold within `seconds`."""
    started = time.monotonic()
    while not condition():
        waited = time.monotonic() - started
        if waited > seconds:
            return False
        time.sleep(min(POLL_SECONDS + waited / 10, MOST_POLL_SECONDS))
    return True


def end(process: subprocess.Popen[bytes], stop_signal: signal.Signals, seconds: float) -> bool:
    """Ask the process to stop, then kill whatever is left of its group. True when it stopped by itself."""
    if process.poll() is None:
        process.send_signal(stop_signal)
    orderly = wait_until(lambda: process.poll() is not None, seconds)
    signal_group(process.pid, signal.SIGKILL)
    process.wait()
    return orderly


def end_all(processes: Iterable[subprocess.Popen[bytes]], seconds: float) -> None:
    """Ask all of them at once, then wait for them together."""
    running = list(processes)
    for process in running:
        if process.poll() is None:
            process.terminate()
    wait_until(lambda: all(process.poll() is not None for process in running), seconds)
    for process in running:
        signal_group(process.pid, signal.SIGKILL)
        process.wait()
