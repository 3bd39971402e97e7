"""Counts wrong tokens by their source, so that a client that guesses is refused without further work.

In the memory of the process, without Redis: a webhook waits for nothing. So each process counts for itself.
A right token must be accepted before this is asked: no sender is refused for what a stranger sent.
"""

from __future__ import annotations

import time
from threading import Lock

from django.conf import settings
from django.http import HttpRequest

WINDOW_SECONDS = 60
MOST_SOURCES = 10_000  # then all are forgotten: the memory is bounded, and a new minute begins for them


class WrongTokens:
    def __init__(self, most_per_minute: int) -> None:
        self.most_per_minute = most_per_minute
        self.counts: dict[str, int] = {}
        self.window = 0
        self.lock = Lock()

    def are_too_many(self, request: HttpRequest) -> bool:
        """Counts a wrong token of the request's source. Returns whether there were too many this minute."""
        source = source_of(request)
        with self.lock:
            window = int(time.monotonic() // WINDOW_SECONDS)
            if window != self.window or len(self.counts) >= MOST_SOURCES:
                self.window, self.counts = window, {}
            self.counts[source] = self.counts.get(source, 0) + 1
            return self.counts[source] > self.most_per_minute

    def forget(self) -> None:
        self.counts = {}


def source_of(request: HttpRequest) -> str:
    """Returns the address of the client, behind as many proxies as TRUSTED_PROXY_COUNT says."""
    proxies = settings.TRUSTED_PROXY_COUNT
    forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")
    found: str = forwarded[-proxies].strip() if 0 < proxies <= len(forwarded) else ""
    return (found or request.META.get("REMOTE_ADDR") or "unknown")[:64]
