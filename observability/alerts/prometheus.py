"""Queries Prometheus's API with a limit of time and size. The form of its response is not trusted."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

import structlog
from django.conf import settings

from core.outgoing import AnswerTooLong, Deadline, DeliveryError, send
from observability.alerts.monitoring import prometheus_headers

MOST_BYTES = 4 * 1024 * 1024
SHORTEST_SECONDS = 0.001
LONGEST_REASON = 500  # characters of what Prometheus says about a query

log = structlog.get_logger(__name__)


class NoAnswer(Exception):
    """Prometheus gave no usable response; the message tells an operator why.

    `reason`: what Prometheus itself says about the query; "" when it says nothing.
    """

    def __init__(self, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason


def ask(path: str, deadline: Deadline, *, limit_bytes: int = MOST_BYTES, **parameters: str) -> Any:
    """Returns the `data` of Prometheus's response. Several queries may share a deadline. Raises NoAnswer."""
    url = f"{settings.PROMETHEUS_URL}/api/v1/{path}?{urlencode(parameters)}"
    try:
        document = json.loads(fetch(url, deadline, limit_bytes))
    except (ValueError, RecursionError):
        raise NoAnswer("Prometheus gave a response that is not JSON.") from None
    if not isinstance(document, dict) or document.get("status") != "success":
        raise NoAnswer("Prometheus rejected the query.", reason_in(document))
    return document.get("data")


def reason_in(document: Any) -> str:
    reason = document.get("error") if isinstance(document, dict) else None
    return reason[:LONGEST_REASON] if isinstance(reason, str) else ""


def fetch(url: str, deadline: Deadline, limit_bytes: int) -> bytes:
    """Returns the body of the response, whatever else its status is than 401. Raises NoAnswer."""
    seconds = max(deadline.remaining(), SHORTEST_SECONDS)
    try:
        answer = send(
            "GET",
            url,
            body=b"",
            headers=prometheus_headers(),
            seconds=seconds,
            limit_bytes=limit_bytes,
            by_proxy=False,
        )
    except AnswerTooLong:
        raise NoAnswer("Prometheus's response is too long.") from None
    except DeliveryError as problem:
        log.warning("prometheus_query_failed", error=type(problem).__name__)
        why = "does not answer in time" if deadline.passed else "cannot be reached"
        raise NoAnswer(f"Prometheus {why}.") from None
    if answer.status == HTTPStatus.UNAUTHORIZED:
        raise NoAnswer("Prometheus does not accept the password (PROMETHEUS_USER, PROMETHEUS_PASSWORD).")
    return answer.body
