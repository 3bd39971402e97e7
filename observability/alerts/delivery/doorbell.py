"""Tells the worker that there is something to deliver. A lost ring costs a second, never an alert.

Publishing to Redis happens in a thread of its own: when Redis is down or hangs, whoever rings (the webhook,
a request that sent an alert) goes on at once. Rings during a publish become one, in the trace of the first.
What a lost ring would have started, beat's sweep starts a second later.
"""

from __future__ import annotations

import contextvars
import os
import threading
import time
from collections.abc import Iterable

import structlog
from django.db import transaction

log = structlog.get_logger(__name__)

# After a ring the worker is awake and looks at all rows. Ringing for each webhook of a storm would cost the
# web process as much as storing it, and the worker the time to send; so in a storm it rings more rarely.
PAUSE_SECONDS = 0.02
PAUSE_IN_A_STORM_SECONDS = 0.25
STORM_AFTER_PAUSES = 20  # in each of which somebody has pressed


class Doorbell:
    """One thread for each process that rings; started at the first ring, again after a fork."""

    def __init__(self) -> None:
        self._channels: dict[str, contextvars.Context] = {}
        self._pressed = threading.Event()
        self._lock = threading.Lock()
        self._pid = 0

    def ring(self, channels: Iterable[str]) -> None:
        if self._pid != os.getpid():
            self._start()
        caller = contextvars.copy_context()  # its request id and trace, which the task goes on with
        with self._lock:
            for channel in channels:
                self._channels.setdefault(channel, caller)
        self._pressed.set()

    def _start(self) -> None:
        with self._lock:
            if self._pid == os.getpid():
                return
            threading.Thread(target=self._run, name="doorbell", daemon=True).start()
            self._pid = os.getpid()

    def _run(self) -> None:
        from observability.tasks import deliver_channel

        busy_pauses = 0
        while True:
            busy_pauses = busy_pauses + 1 if self._pressed.is_set() else 0
            self._pressed.wait()
            with self._lock:
                self._pressed.clear()
                channels, self._channels = self._channels, {}
            try:
                for channel, caller in channels.items():
                    caller.run(deliver_channel.apply_async, (channel,), expires=60, retry=False)
            except Exception as problem:  # noqa: BLE001  (a thread's edge: any failure of the broker or kombu)
                log.warning("doorbell_not_heard", error=type(problem).__name__)
            time.sleep(PAUSE_IN_A_STORM_SECONDS if busy_pauses > STORM_AFTER_PAUSES else PAUSE_SECONDS)


_doorbell = Doorbell()


def ring_on_commit(channels: Iterable[str]) -> None:
    """Rings for `channels` once the caller's transaction has committed; at once when there is none."""
    wanted = tuple(channels)
    if wanted:
        transaction.on_commit(lambda: _doorbell.ring(wanted))
