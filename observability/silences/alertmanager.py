"""Asks Alertmanager about its silences and alerts, and sets and expires silences (API v2).

Source: Alertmanager `api/v2/openapi.yaml` and `silence/silence.go`, 0.25 to 0.33. A silence that is updated
keeps its id if its matchers stay and its start has not moved; otherwise the old one is expired and the answer
has a new id.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from http import HTTPStatus
from typing import Any, NamedTuple
from urllib.parse import quote

from django.conf import settings

from core.outgoing import Answer, DeliveryError, send
from observability.silences.matchers import Matcher, from_api

SECONDS = 3.0  # of each request
MOST_BYTES = 32 * 1024 * 1024
LONGEST_REASON = 300


class NoAnswer(Exception):
    """Alertmanager did not answer, or not as it should: the same may succeed later."""


class Refused(Exception):
    """Alertmanager refused the request (400): the same would be refused again."""


class Unknown(Exception):
    """Alertmanager has no silence with this id (404)."""


class Found(NamedTuple):
    """A silence that Alertmanager has. `state` is pending, active or expired; `start` is `starts_at` as it
    was written, with nanoseconds."""

    id: str
    state: str
    starts_at: datetime
    ends_at: datetime
    start: str
    created_by: str
    comment: str
    matchers: tuple[Matcher, ...]


def silences() -> list[Found]:
    """Returns all silences, those that expired less than Alertmanager's retention ago included."""
    answer = ask("GET", "silences")
    try:
        return [read(found) for found in json.loads(answer.body)]
    except (ValueError, TypeError, KeyError, AttributeError) as problem:
        raise NoAnswer(f"Alertmanager's silences cannot be read: {type(problem).__name__}.") from problem


def read(found: dict[str, Any]) -> Found:
    return Found(
        id=str(found["id"]),
        state=str(found["status"]["state"]),
        starts_at=datetime.fromisoformat(found["startsAt"]),
        ends_at=datetime.fromisoformat(found["endsAt"]),
        start=found["startsAt"],
        created_by=str(found.get("createdBy", "")),
        comment=str(found.get("comment", "")),
        matchers=tuple(from_api(found["matchers"])),
    )


def put(silence: dict[str, Any]) -> str:
    """Creates or updates a silence (postableSilence). Returns its id. Raises Refused, Unknown, NoAnswer."""
    answer = ask("POST", "silences", silence)
    try:
        return str(json.loads(answer.body)["silenceID"])
    except (ValueError, TypeError, KeyError) as problem:
        raise NoAnswer("Alertmanager's answer has no id of the silence.") from problem


def expire(silence_id: str) -> None:
    """Expires a silence that is pending or active. Raises Unknown, NoAnswer (0.25: also for one that has
    expired)."""
    ask("DELETE", f"silence/{quote(silence_id, safe='')}")


def alerts(matchers: Iterable[Matcher] = ()) -> list[dict[str, Any]]:
    """Returns the alerts (gettableAlert) that all of `matchers` match. Raises Refused, NoAnswer."""
    filters = "&".join(f"filter={quote(str(matcher), safe='')}" for matcher in matchers)
    answer = ask("GET", f"alerts?{filters}")
    try:
        found = json.loads(answer.body)
        return [alert for alert in found if isinstance(alert["labels"], dict)]
    except (ValueError, TypeError, KeyError) as problem:
        raise NoAnswer(f"Alertmanager's alerts cannot be read: {type(problem).__name__}.") from problem


def ask(method: str, path: str, document: Any = None) -> Answer:
    """Returns the answer 200. Raises Refused, Unknown, or NoAnswer for anything else."""
    if not settings.ALERTMANAGER_URL:
        raise NoAnswer("ALERTMANAGER_URL is not set.")
    try:
        answer = send(
            method,
            f"{settings.ALERTMANAGER_URL}/api/v2/{path}",
            body=b"" if document is None else json.dumps(document).encode(),
            headers={} if document is None else {"Content-Type": "application/json"},
            seconds=SECONDS,
            limit_bytes=MOST_BYTES,
            by_proxy=False,
        )
    except DeliveryError as problem:
        raise NoAnswer(f"Alertmanager does not answer: {problem}.") from problem
    if answer.status == HTTPStatus.OK:
        return answer
    reason = f"Alertmanager answered {answer.status}: {answer.text.strip()[:LONGEST_REASON]}"
    if answer.status in (HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY):
        raise Refused(reason)
    raise Unknown(reason) if answer.status == HTTPStatus.NOT_FOUND else NoAnswer(reason)
