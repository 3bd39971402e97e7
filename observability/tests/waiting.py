"""How long tests wait: for a condition, with an end that a busy machine does not reach.

A generous end costs nothing where the condition comes true; it only makes a failure late. No test asserts how
long something took: durations are figures, and figures are in benchmarks/.
"""

from __future__ import annotations

from collections.abc import Callable

from local import processes

PATIENCE_SECONDS = 180.0  # for a condition, an event, the end of a process
COMMAND_SECONDS = 600.0  # for a whole command: of two first migrates at once one waits for the other
ANSWER_SECONDS = 60.0  # for one answer over HTTP


def wait_until(condition: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> bool:
    """Asks until `condition` holds. False when it did not within `seconds`."""
    return processes.wait_until(condition, seconds)
