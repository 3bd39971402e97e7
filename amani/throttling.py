"""Limits how many requests a minute one user and one IP address may send to the API.

Redis has a counter for each of them and each minute, which all processes increment atomically. If Redis does
not answer, requests are not limited, so that its outage does not stop the API; a metric counts them.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import cache

import redis
import structlog
from allauth.core.internal.ratelimit import truncate_ip
from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from redis.backoff import NoBackoff
from redis.retry import Retry

from accounts import sign_in
from amani import error_pages, metrics
from amani.errors import TooManyRequests
from amani.hosts import FOR_ANY_HOST
from core.bodies import has_body

log = structlog.get_logger(__name__)

API = "/api/v1/"
ALERTS = frozenset({"/api/v1/alerts/webhook", "/api/v1/alerts/webhook/"})
WINDOW_SECONDS = 60
# When Redis hangs, a request waits no longer than the timeout, and the next ones skip Redis for a while.
TIMEOUT_SECONDS = 0.25
PAUSE_SECONDS = 5.0


class Counters:
    """Increments counters in Redis; after an error it does not use Redis for PAUSE_SECONDS."""

    def __init__(self) -> None:
        self.paused_until = 0.0

    def increment(self, key: str) -> int | None:
        """Increments the counter `key` and returns its value; None if Redis does not answer."""
        if time.monotonic() < self.paused_until:
            metrics.record_throttle_unavailable()
            return None
        # Kept in a variable: threads that ask at the same time can each get a client of their own from the
        # cache, and a client that nothing refers to any more closes the connections of its pipeline.
        redis_client = client(settings.REDIS_URL)
        try:
            pipeline = redis_client.pipeline(transaction=True)
            pipeline.incr(key)
            pipeline.expire(key, 2 * WINDOW_SECONDS)
            return int(pipeline.execute()[0])
        except redis.RedisError as error:
            self.paused_until = time.monotonic() + PAUSE_SECONDS
            log.warning("throttle_unavailable", error=type(error).__name__)
            metrics.record_throttle_unavailable()
            return None


counters = Counters()


@cache
def client(url: str) -> redis.Redis:
    """Returns a client for the URL.

    Django's cache is not used: its `incr` is two commands, and fails if the key expires between them.
    """
    return redis.Redis.from_url(
        url,
        socket_timeout=TIMEOUT_SECONDS,
        socket_connect_timeout=TIMEOUT_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )


class AddressMiddleware:
    """Counts each request to the API, and each with a body to any route, before the body is read.

    Not alerts: Alertmanager drops them on 429, and their body is read only after the token.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if is_counted(request):
            try:
                count_address(request)
            except TooManyRequests as refusal:
                return error_pages.too_many_requests(request, refusal)
        return self.get_response(request)


def is_counted(request: HttpRequest) -> bool:
    path = request.path_info
    if has_body(request.META):
        return path not in ALERTS
    return path.startswith(API) and path not in FOR_ANY_HOST


def count_address(request: HttpRequest) -> None:
    """Counts a request of the client's IP address. Raises TooManyRequests over the limit."""
    count("address", address_of(request), settings.API_REQUESTS_PER_MINUTE_PER_ADDRESS)


def count_user(user_id: int) -> None:
    """Counts a request of the user from any IP address. Raises TooManyRequests over the limit."""
    count("user", str(user_id), settings.API_REQUESTS_PER_MINUTE_PER_USER)


def count_upload(user_id: int) -> None:
    """Counts an upload of the user, which costs as much as a thousand other requests.

    Raises TooManyRequests over the limit.
    """
    count("upload", str(user_id), settings.API_UPLOADS_PER_MINUTE_PER_USER, what="uploads")


def count(scope: str, whose: str, limit: int, *, what: str = "requests") -> None:
    if not limit:
        return
    now = time.time()
    window = int(now // WINDOW_SECONDS)
    used = counters.increment(f"amani:throttle:{scope}:{whose}:{window}")
    if used is not None and used > limit:
        metrics.record_throttled(scope)
        raise TooManyRequests(limit, math.ceil((window + 1) * WINDOW_SECONDS - now), what)


def address_of(request: HttpRequest) -> str:
    """Returns the IP address as sign-in determines it, else that of the connection; IPv6 as its /64."""
    address = sign_in.address_of(request) or request.META.get("REMOTE_ADDR") or "unknown"
    return str(truncate_ip(address))
