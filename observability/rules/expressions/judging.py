"""Asks Prometheus whether an expression is valid. The parser here only splits; it knows not all of PromQL."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any, NamedTuple
from urllib.parse import urlencode

import structlog
from django.conf import settings

from core.outgoing import DeliveryError, send
from observability.alerts.monitoring import MOST_BYTES, prometheus_headers

SECONDS = 5.0

log = structlog.get_logger(__name__)


class Answer(NamedTuple):
    """Prometheus's answer: its `data`, or the `error` of a query that it refused."""

    data: Any = None
    error: str = ""


class Verdict(NamedTuple):
    """`is_valid` is None when Prometheus did not answer; `error` has its reason against the expression."""

    is_valid: bool | None
    error: str = ""


def judge(expression: str) -> Verdict:
    """Asks Prometheus to parse the expression (docs: HTTP API, "Formatting query expressions")."""
    answer = question("format_query", query=expression)
    if answer is None:
        return Verdict(None)
    return Verdict(not answer.error, answer.error)


def question(name: str, **parameters: str) -> Answer | None:
    """Returns Prometheus's answer to GET /api/v1/`name`; None when it gave none in time."""
    try:
        answer = send(
            "GET",
            f"{settings.PROMETHEUS_URL}/api/v1/{name}?{urlencode(parameters)}",
            body=b"",
            headers=prometheus_headers(),
            seconds=SECONDS,
            limit_bytes=MOST_BYTES,
            by_proxy=False,
        )
        said = json.loads(answer.body)
        if answer.status == HTTPStatus.OK:
            return Answer(said["data"])
        if answer.status in (HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY):
            return Answer(error=str(said["error"]))
        problem = str(answer.status)
    except (DeliveryError, ValueError, TypeError, KeyError, RecursionError) as error:
        problem = type(error).__name__
    log.warning("prometheus_question_failed", question=name, error=problem)
    return None
