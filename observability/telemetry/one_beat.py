"""Lets one beat send at a time: the scheduler of `celery -A amani beat`.

A beat sends only while it holds a lease in Redis, which it renews before each task and at least each second.
A second one waits: it serves its metrics, shows no heartbeat, and takes over when the first has given the
lease back, or has not renewed it for LEASE_SECONDS. Two that believe to hold it at once send nothing twice
that matters: tasks are idempotent. docs/adr/0024 says why it is Redis that decides.
"""

from __future__ import annotations

from typing import Any

import redis
import structlog
from celery.beat import PersistentScheduler
from django.conf import settings
from redis.backoff import NoBackoff
from redis.exceptions import LockNotOwnedError, RedisError
from redis.retry import Retry

from observability.telemetry.metrics.server import metrics_server

log = structlog.get_logger(__name__)

KEY = "amani:beat"
LEASE_SECONDS = 5.0
RENEW_SECONDS = 1.0


class Turn:
    """The lease of this process. Who asks first gets a lease that Redis has forgotten."""

    def __init__(self) -> None:
        client = redis.Redis.from_url(
            settings.REDIS_URL, socket_timeout=0.5, socket_connect_timeout=0.5, retry=Retry(NoBackoff(), 0)
        )
        self.lock = client.lock(KEY, timeout=LEASE_SECONDS, thread_local=False)
        self.is_held = False
        self.said = ""

    def is_mine(self) -> bool:
        """Whether this beat may send now. Asks Redis; False if it does not answer."""
        try:
            if not (self.is_held and self.renew()):
                self.is_held = self.lock.acquire(blocking=False)
        except RedisError as error:
            self.say("beat_cannot_ask_for_its_turn", reason=str(error))
            return False
        if not self.is_held:
            self.say("beat_waits_for_its_turn")
        elif self.said:
            self.say("beat_has_its_turn")
            self.said = ""
        return self.is_held

    def renew(self) -> bool:
        try:
            self.lock.reacquire()
        except LockNotOwnedError:
            return False
        return True

    def give_up(self) -> None:
        """Lets the next beat take over at once."""
        if not self.is_held:
            return
        self.is_held = False
        try:
            self.lock.release()
        except RedisError as error:  # it ends by itself
            log.info("beat_kept_its_turn", reason=str(error))

    def say(self, event: str, **details: str) -> None:
        """Logs `event` once, until something else has happened."""
        if self.said != event:
            log.info(event, **details)
            self.said = event


class OneBeat(PersistentScheduler):
    """Celery's scheduler, which also keeps its schedule closed until it is this beat's turn."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.turn = Turn()
        self.is_open = self.is_closed = False
        super().__init__(*args, **kwargs)

    def setup_schedule(self) -> None:
        """Leaves the file alone, which another beat of this folder may use; `tick` opens it."""

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Sends what is due, if it is this beat's turn. Returns the seconds until the next call.

        Raises SystemExit after `close`. Celery's handler of SIGTERM closes this and raises it too, but in the
        middle of other code: in a finalizer, or where errors are only logged, that would be lost.
        """
        if self.is_closed:
            raise SystemExit
        metrics_server.keep()
        if not self.turn.is_mine():
            self.put_away()
            return RENEW_SECONDS
        if not self.is_open:
            super().setup_schedule()
            self.is_open = True
        return min(super().tick(*args, **kwargs), RENEW_SECONDS)

    def put_away(self) -> None:
        if self.is_open:
            self.is_open = False
            super().close()

    def close(self) -> None:
        self.is_closed = True  # first: what follows may fail
        self.put_away()
        self.turn.give_up()
