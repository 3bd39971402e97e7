"""Lets one submission at a time rewrite its images in a process, and each person send one at a time.

Rewriting takes seconds of a core and hundreds of MB, so waiting submissions would occupy all threads. They
are refused at once instead: nothing is stored, and the same request succeeds later.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

import structlog
from django.core.cache import cache
from redis.exceptions import RedisError

from kyc.documents.errors import Busy

# Longer than almost all submissions take, and short enough for a person whose process was killed.
LONGEST_SECONDS = 30

log = structlog.get_logger(__name__)
one_at_a_time = Lock()


@contextmanager
def turn(person_id: int) -> Iterator[None]:
    """Reserves this process, and the person in all processes. Raises Busy at once."""
    if not one_at_a_time.acquire(blocking=False):
        raise Busy
    try:
        with only_one_of(person_id):
            yield
    finally:
        one_at_a_time.release()


@contextmanager
def only_one_of(person_id: int) -> Iterator[None]:
    """Reserves the person. Without Redis it does nothing, so that its outage does not stop submissions."""
    key = f"kyc-submission-{person_id}"
    try:
        is_first = cache.add(key, 1, LONGEST_SECONDS)
    except RedisError as error:
        log.warning("submissions_not_counted", error=type(error).__name__)
        yield
        return
    if not is_first:
        raise Busy
    try:
        yield
    finally:
        forget(key)


def forget(key: str) -> None:
    try:
        cache.delete(key)
    except RedisError:
        log.warning("submission_stays_counted", seconds=LONGEST_SECONDS)
