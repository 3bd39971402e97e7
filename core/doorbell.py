"""Enqueues a Celery task by its name, from a background thread, without making the caller wait.

The work itself is rows in the database, so a lost ring costs only the time until beat's next sweep. The
thread is there because with Redis down it takes seconds for a publish to fail. How an app uses it:

    doorbell = Doorbell("escrow.tasks.send_payouts")
    with transaction.atomic():
        Payout.objects.create(...)
        transaction.on_commit(doorbell.ring)  # or partial(doorbell.ring, "argument of the task")
"""

from __future__ import annotations

import contextvars
import os
import threading
import time

import structlog
from celery import current_app

log = structlog.get_logger(__name__)

EXPIRES_SECONDS = 60  # a task that waited longer has nothing left to do: beat has swept since
# A ring wakes a worker, which then looks at all rows. In a storm of commits, one ring for each would cost the
# web process as much as storing the rows, so the bell rings more rarely then.
PAUSE_SECONDS = 0.02
PAUSE_IN_A_STORM_SECONDS = 0.25
STORM_AFTER_PAUSES = 20  # pauses in a row, each with a new ring


class Doorbell:
    """Rings for one task. It has one thread in each process, started at the first ring and after a fork."""

    def __init__(self, task_name: str) -> None:
        """`task_name`: the full name of the task, for example "kyc.tasks.run_checks"."""
        self.task_name = task_name
        self._pending: dict[tuple[str, ...], contextvars.Context] = {}
        self._rung = threading.Event()
        self._lock = threading.Lock()
        self._process_id = 0

    def ring(self, *arguments: str) -> None:
        """Enqueues the task with `arguments`. Call it after the commit. Never waits, never raises.

        Rings with the same arguments that come during a publish become one. The task continues the request id
        and the trace of the first of them.
        """
        if self._process_id != os.getpid():
            self._start()
        caller = contextvars.copy_context()
        with self._lock:
            self._pending.setdefault(arguments, caller)
        self._rung.set()

    def _start(self) -> None:
        with self._lock:
            if self._process_id == os.getpid():
                return
            name = f"doorbell {self.task_name}"
            threading.Thread(target=self._run, name=name, daemon=True).start()
            self._process_id = os.getpid()

    def _run(self) -> None:
        busy_pauses = 0
        while True:
            busy_pauses = busy_pauses + 1 if self._rung.is_set() else 0
            self._rung.wait()
            with self._lock:
                self._rung.clear()
                pending, self._pending = self._pending, {}
            self._publish(pending)
            time.sleep(PAUSE_IN_A_STORM_SECONDS if busy_pauses > STORM_AFTER_PAUSES else PAUSE_SECONDS)

    def _publish(self, pending: dict[tuple[str, ...], contextvars.Context]) -> None:
        try:
            for arguments, caller in pending.items():
                caller.run(publish, self.task_name, arguments)
        except Exception as problem:  # noqa: BLE001  (a thread's edge: any failure of the broker or kombu)
            log.warning("task_publish_failed", task=self.task_name, error=type(problem).__name__)


def publish(task_name: str, arguments: tuple[str, ...]) -> None:
    """Enqueues the task at once, in this thread. Raises what Celery, kombu and the broker raise."""
    current_app.send_task(task_name, arguments, expires=EXPIRES_SECONDS, retry=False)
