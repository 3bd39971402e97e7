"""How many requests a minute one person and one address may send to the API.

One counter in Redis for each of them and each minute, raised in one step by all processes. Without Redis
everybody passes: an outage of the counter must not become an outage of the API. A metric counts it.
"""

from __future__ import annotations

import math
import time
from functools import cache

import redis
import structlog
from allauth.core.internal.ratelimit import truncate_ip
from django.conf import settings
from django.http import HttpRequest
from redis.backoff import NoBackoff
from redis.retry import Retry

from accounts import sign_in
from amani import metrics
from amani.errors import TooManyRequests

log = structlog.get_logger(__name__)

WINDOW_SECONDS = 60
# When Redis hangs, requests must not hang with it: nobody waits longer, and nobody asks again for a while.
TIMEOUT_SECONDS = 0.25
REST_SECONDS = 5.0


class Counters:
    """The connection to Redis, and until when it is left alone after it has failed."""

    def __init__(self) -> None:
        self.rest_until = 0.0

    def raised(self, key: str) -> int | None:
        """The counter under `key` after one more; None when Redis does not say."""
        if time.monotonic() < self.rest_until:
            metrics.record_throttle_unavailable()
            return None
        try:
            pipeline = client(settings.REDIS_URL).pipeline(transaction=True)
            pipeline.incr(key)
            pipeline.expire(key, 2 * WINDOW_SECONDS)
            return int(pipeline.execute()[0])
        except redis.RedisError as error:
            self.rest_until = time.monotonic() + REST_SECONDS
            log.warning("throttle_unavailable", error=type(error).__name__)
            metrics.record_throttle_unavailable()
            return None


counters = Counters()


@cache
def client(url: str) -> redis.Redis:
    """Not Django's cache: its `incr` is two commands, and loses a key that ends between them."""
    return redis.Redis.from_url(
        url,
        socket_timeout=TIMEOUT_SECONDS,
        socket_connect_timeout=TIMEOUT_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )


def count_address(request: HttpRequest) -> None:
    """Raises TooManyRequests when the client's address has used up its minute."""
    count("address", address_of(request), settings.API_REQUESTS_PER_MINUTE_PER_ADDRESS)


def count_user(user_id: int) -> None:
    """Raises TooManyRequests when the person has used up their minute, from wherever."""
    count("user", str(user_id), settings.API_REQUESTS_PER_MINUTE_PER_USER)


def count_upload(user_id: int) -> None:
    """Raises TooManyRequests for a person's files, which cost a thousand times what other requests do."""
    count("upload", str(user_id), settings.API_UPLOADS_PER_MINUTE_PER_USER, what="uploads")


def count(scope: str, whose: str, limit: int, *, what: str = "requests") -> None:
    if not limit:
        return
    now = time.time()
    window = int(now // WINDOW_SECONDS)
    used = counters.raised(f"amani:throttle:{scope}:{whose}:{window}")
    if used is not None and used > limit:
        metrics.record_throttled(scope)
        raise TooManyRequests(limit, math.ceil((window + 1) * WINDOW_SECONDS - now), what)


def address_of(request: HttpRequest) -> str:
    """As sign-in sees it, else whoever connected; all addresses of one IPv6 network count as one."""
    address = sign_in.address_of(request) or request.META.get("REMOTE_ADDR") or "unknown"
    return str(truncate_ip(address))
