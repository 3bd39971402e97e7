"""Asks Prometheus what a publication needs: to format an expression, to reload, and which rules it has.

Every question is bounded, and all questions of one attempt together by its `seconds`.
"""

from __future__ import annotations

import json
import time
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

from django.conf import settings

from core.outgoing import Answer, DeliveryError, send
from observability.alerts.monitoring import MOST_BYTES, prometheus_headers
from observability.rules.publication.errors import NotPublished, TryLater

ANSWER_SECONDS = 5.0
RELOAD_SECONDS = 30.0  # it loads its configuration and all rule files meanwhile
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class WrongExpression(Exception):
    """Prometheus cannot parse it. The message is Prometheus's, and begins with line and column."""


class Prometheus:
    """The Prometheus of PROMETHEUS_URL. Raises TryLater when it does not answer, or not within `seconds`."""

    def __init__(self, seconds: float) -> None:
        self.until = time.monotonic() + seconds
        self.known: dict[str, str] = {}

    def formatted(self, expression: str) -> str:
        """Returns the expression as Prometheus writes it (its HTTP API: "Formatting query expressions").

        VictoriaMetrics does not format; of its answers, and of what vmalert loaded, only white space differs.
        Raises WrongExpression.
        """
        if expression not in self.known:
            body = urlencode({"query": expression}).encode()
            answer = self.ask("POST", "api/v1/format_query", body=body, headers=FORM)
            if does_not_format(answer):
                self.known[expression] = " ".join(expression.split())
            elif answer.status == HTTPStatus.BAD_REQUEST:
                raise WrongExpression(error_in(answer))
            else:
                self.known[expression] = str(data_of(answer))
        return self.known[expression]

    def reload(self) -> None:
        """Has it load its files. Raises NotPublished when it refuses them: it keeps what it had."""
        answer = self.ask("POST", "-/reload", seconds=RELOAD_SECONDS)
        if answer.status == HTTPStatus.FORBIDDEN:
            raise NotPublished(
                "Prometheus does not reload when it is asked to: start it with --web.enable-lifecycle."
            )
        if answer.status == HTTPStatus.INTERNAL_SERVER_ERROR:
            raise NotPublished(f"Prometheus did not load the file; its log says why. {answer.text.strip()}")
        if answer.status != HTTPStatus.OK:
            raise TryLater(f"Prometheus answered {answer.status} when it was asked to reload.")

    def groups(self) -> list[dict[str, Any]]:
        """Returns the groups of rules that it has loaded."""
        try:
            return list(data_of(self.ask("GET", "api/v1/rules"))["groups"] or [])  # vmalert: null without any
        except (KeyError, TypeError) as problem:
            raise TryLater("Prometheus's list of rules could not be read.") from problem

    def ask(
        self,
        method: str,
        path: str,
        *,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        seconds: float = ANSWER_SECONDS,
    ) -> Answer:
        left = self.until - time.monotonic()
        if left <= 0:
            raise TryLater("Prometheus answers too slowly.")
        try:
            return send(
                method,
                f"{settings.PROMETHEUS_URL}/{path}",
                body=body,
                headers={**prometheus_headers(), **(headers or {})},
                seconds=min(seconds, left),
                limit_bytes=MOST_BYTES,
                by_proxy=False,
            )
        except DeliveryError as problem:
            raise TryLater(f"Prometheus does not answer: {problem}.") from problem


def data_of(answer: Answer) -> Any:
    if answer.status != HTTPStatus.OK:
        raise TryLater(f"Prometheus answered {answer.status}.")
    try:
        return json.loads(answer.body)["data"]
    except (ValueError, KeyError, TypeError, RecursionError) as problem:
        raise TryLater("Prometheus's answer could not be read.") from problem


def does_not_format(answer: Answer) -> bool:
    """Returns whether the server has no such path: VictoriaMetrics says so with a 400 and a text."""
    is_refusal = answer.status == HTTPStatus.BAD_REQUEST
    return answer.status == HTTPStatus.NOT_FOUND or (is_refusal and not answer.body.lstrip().startswith(b"{"))


def error_in(answer: Answer) -> str:
    """Returns Prometheus's message about an expression, without what it says about the parameter."""
    try:
        message = str(json.loads(answer.body)["error"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return "it cannot be parsed"
    return message.removeprefix('invalid parameter "query": ')
