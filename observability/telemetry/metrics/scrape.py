"""Answers a scrape of `/metrics`: the metrics of all processes, and whether the database and Redis answer.

Those two are asked at the scrape, as the exporters of Prometheus do, because no other part could report it:
the heartbeat of the worker goes through both and stops without either. The checks are
those of health.py: bounded to a second, in a thread that is left behind when a server hangs.
"""

import gzip
import threading
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any

from django.http import HttpRequest, HttpResponse
from prometheus_client.exposition import gzip_accepted

from observability.telemetry.clock import clock
from observability.telemetry.health import broker_probe, database_probe, run_checks
from observability.telemetry.metrics.exposition import (
    REFUSAL,
    Answer,
    choose_format,
    may_see_metrics,
    write_metrics,
)

CHECKS = {"database": "database", "redis": "broker"}
KEPT_SECONDS = 2.0  # several Prometheis, and people with curl, share an answer


class Dependencies:
    """Whether the database and Redis answer; the last answer for KEPT_SECONDS."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.answering: dict[str, bool] = {}
        self.expires = 0.0

    def ask(self) -> dict[str, bool]:
        with self.lock:
            if monotonic() >= self.expires:
                found = run_checks(database_probe, broker_probe)
                self.answering = {name: found[check].status == "ok" for name, check in CHECKS.items()}
                self.expires = monotonic() + KEPT_SECONDS
            return self.answering


dependencies = Dependencies()


def metrics_answer(environ: Mapping[str, Any]) -> Answer:
    """The answer to a WSGI request for `/metrics`."""
    return answer(environ, dependencies.ask)


def own_metrics_answer(environ: Mapping[str, Any]) -> Answer:
    """The same without the database and Redis: the rules ask whether web can use them."""
    return answer(environ, lambda: None)


def answer(environ: Mapping[str, Any], ask: Callable[[], Mapping[str, bool] | None]) -> Answer:
    if environ.get("REQUEST_METHOD") not in {"GET", "HEAD"}:
        return Answer(405, [("Allow", "GET, HEAD"), ("Content-Type", "text/plain")], b"")
    if not may_see_metrics(environ):
        return Answer(403, [("Content-Type", "text/plain; charset=utf-8")], REFUSAL)
    clock.count()
    form = choose_format(environ.get("HTTP_ACCEPT", ""))
    body = write_metrics(form, ask())
    headers = [("Content-Type", form.content_type), ("Vary", "Accept, Accept-Encoding")]
    if gzip_accepted(environ.get("HTTP_ACCEPT_ENCODING", "")):
        body = gzip.compress(body, compresslevel=1)
        headers.append(("Content-Encoding", "gzip"))
    return Answer(200, headers, body)


def metrics_view(request: HttpRequest) -> HttpResponse:
    """The same under Django's own server and test client; gunicorn's requests end at edge.py."""
    status, headers, body = metrics_answer(request.META)
    return HttpResponse(body, status=status, headers=dict(headers))
