"""Wakes a worker. The rows are the truth: a ring that is lost costs five seconds, until beat's next sweep.

The same as `kyc/providers/doorbell.py`, for mails: publishing happens in a thread of its own, because with
Redis down it takes seconds to fail, which the person who signs up should not wait. Rings during a publish
become one.
"""

from __future__ import annotations

import contextvars
import os
import threading

import structlog

log = structlog.get_logger(__name__)


class Doorbell:
    """One thread for each process that rings; started at the first ring, again after a fork."""

    def __init__(self) -> None:
        self._pressed = threading.Event()
        self._lock = threading.Lock()
        self._caller = contextvars.copy_context()
        self._pid = 0

    def ring(self) -> None:
        self._caller = contextvars.copy_context()  # its request id and trace, which the task goes on with
        if self._pid != os.getpid():
            self._start()
        self._pressed.set()

    def _start(self) -> None:
        with self._lock:
            if self._pid == os.getpid():
                return
            self._pressed = threading.Event()
            threading.Thread(target=self._run, name="mail-doorbell", daemon=True).start()
            self._pid = os.getpid()

    def _run(self) -> None:
        from accounts.tasks import send_mails

        while True:
            self._pressed.wait()
            self._pressed.clear()
            try:
                self._caller.copy().run(send_mails.apply_async, expires=60, retry=False)
            except Exception as problem:  # noqa: BLE001  (a thread's edge: any failure of the broker or kombu)
                log.warning("mail_doorbell_not_heard", error=type(problem).__name__)


_doorbell = Doorbell()


def ring() -> None:
    """Call it after the commit. Never waits, never raises."""
    _doorbell.ring()
