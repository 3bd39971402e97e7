"""Counts, at most once a second, what no event of a process counts: its processor time."""

import os
import threading
import time
from collections.abc import Callable

from prometheus_client import Counter

from observability.metrics import process_cpu_seconds


class ProcessClock:
    """Brings up to date, at most once a second, what no event of its own counts.

    That is the processor time of this process, in the counter of its role, and what `each_second` does.

    If the scrape read /proc instead, the sum would fall whenever a worker is recycled. Prometheus takes a
    falling counter for a restart, so the next rate would be thousands of seconds too high.
    """

    def __init__(self) -> None:
        self.counter: Counter | None = process_cpu_seconds["web"]
        self.counted = 0.0
        self.due = 0.0  # on the clock of time.perf_counter()
        self.each_second: list[Callable[[], None]] = []
        self.lock = threading.Lock()

    def count(self) -> None:
        with self.lock:  # two threads at once would count a time twice, or a negative one, which is an error
            used = time.process_time()
            if self.counter:
                self.counter.inc(used - self.counted)
            self.counted = used
        self.due = time.perf_counter() + 1.0
        for update in self.each_second:
            update()

    def count_if_due(self) -> None:
        if time.perf_counter() > self.due:
            self.count()

    def restart(self) -> None:
        """Starts from zero in a forked child, as its processor time does."""
        self.counted = 0.0
        self.due = 0.0
        self.lock = threading.Lock()  # another thread of the parent may have held it


clock = ProcessClock()
os.register_at_fork(after_in_child=clock.restart)
