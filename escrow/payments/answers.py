"""What the answer of any provider means before its content is looked at: acted on, refused, or unknown."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

from core import outgoing
from core.outcomes import Rejected, RetryLater
from core.outgoing import Answer, ConnectFailed, DeliveryError
from escrow.payments.base import Unknown

# Refused before anything is done: a wrong key (401, 403), too many requests, and an address that is no API.
DID_NOTHING = frozenset(
    {
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.FORBIDDEN,
        HTTPStatus.NOT_FOUND,
        HTTPStatus.METHOD_NOT_ALLOWED,
        HTTPStatus.TOO_MANY_REQUESTS,
    }
)
# Of these the documentation says that the content of the request is at fault.
REFUSED = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.CONFLICT, HTTPStatus.UNPROCESSABLE_ENTITY})
LONGEST_TEXT = 100


def json_object(body: bytes) -> dict[str, Any]:
    """Returns the JSON object in `body`; an empty one when there is none."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def text_of(values: Any, name: str) -> str:
    """Returns a text or a whole number of a JSON object as text; "" for anything else."""
    value = values.get(name) if isinstance(values, dict) else None
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""


def amount_of(values: Any, name: str) -> int:
    """Returns a whole amount, 1000 for 1000 and 1000.0; -1, which equals none of ours, for anything else."""
    value = values.get(name) if isinstance(values, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1:
        return -1
    return int(value) if 0 <= value < 2**63 else -1


def not_sent_or_unknown(label: str, problem: DeliveryError) -> RetryLater | Unknown:
    """Returns the outcome of a request that moves money and got no answer."""
    if isinstance(problem, ConnectFailed):
        return RetryLater(None, f"{label} cannot be reached: {problem}")
    return Unknown(f"{label} does not answer: {problem}")


def outcome_of_refusal(label: str, answer: Answer, *, has_content: bool) -> RetryLater | Rejected | Unknown:
    """Returns the outcome of an answer that is no success to a request that moves money.

    `has_content`: the body is the provider's own kind of error. Without it, a proxy may have answered, and
    what became of the request is unknown. Keeps only the status: the text may quote our data.
    """
    words = f"{label} answered {answer.status}."
    if answer.status in DID_NOTHING:
        return RetryLater(outgoing.seconds_to_wait(answer.headers, answer.text), words)
    if answer.status in REFUSED and has_content:
        return Rejected(words)
    return Unknown(words)


def nothing_learned(label: str, answer: Answer) -> RetryLater:
    """Returns the outcome of an answer to a question that says nothing about it."""
    wait = outgoing.seconds_to_wait(answer.headers, answer.text)
    return RetryLater(wait, f"{label} answered {answer.status}.")
