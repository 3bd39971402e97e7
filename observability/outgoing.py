"""Requests to other people's servers, for the apps above: bounded in time and size, certain what was sent.

The notifiers have their own way (notifiers/http.py), which sends JSON and keeps the beginning of the answer.
Here any body is sent and only a whole answer is taken.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from time import perf_counter

import requests
from urllib3.exceptions import HTTPError

from core.request_id import request_id_header
from observability.notifiers.base import VendorResponse
from observability.notifiers.connection import Deadline
from observability.notifiers.http import (
    ConnectFailed,
    DeliveryError,
    OutcomeUnknown,
    leave_crumb,
    no_answer,
    session,
)
from observability.notifiers.redaction import redact
from observability.notifiers.retry_after import seconds_to_wait as seconds_of

__all__ = ["Answer", "ConnectFailed", "DeliveryError", "OutcomeUnknown", "redact", "seconds_to_wait", "send"]

CONNECT_SECONDS = 3.05


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, whatever its status; a redirect is an answer too."""

    status: int
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


def send(
    method: str,
    url: str,
    *,
    body: bytes,
    headers: Mapping[str, str],
    seconds: float,
    limit_bytes: int,
) -> Answer:
    """One request, over within `seconds`. Raises ConnectFailed, or OutcomeUnknown if it may have arrived."""
    started = perf_counter()
    try:
        answer = _answer_to(method, url, body, headers, seconds, limit_bytes)
    except DeliveryError as error:
        leave_crumb(url, type(error).__name__, started)
        raise
    leave_crumb(url, answer.status, started)
    return answer


def seconds_to_wait(answer: Answer) -> float | None:
    """What a Retry-After header or a JSON `retry_after` asks for: 1 s to 1 h."""
    beginning = answer.body[:2_000].decode("utf-8", "replace")
    return seconds_of(VendorResponse(answer.status, beginning, answer.headers))


def _answer_to(
    method: str, url: str, body: bytes, headers: Mapping[str, str], seconds: float, limit_bytes: int
) -> Answer:
    with Deadline(seconds) as deadline:
        try:
            response = session().request(
                method,
                url,
                data=body,
                headers={**request_id_header(), **headers},
                timeout=(min(CONNECT_SECONDS, seconds), seconds),
                allow_redirects=False,
                stream=True,
            )
            with response:
                content = _whole_body(response, limit_bytes)
        except (requests.RequestException, HTTPError, OSError, UnicodeError) as error:
            raise no_answer(error, deadline) from None  # the chain's messages contain the URL
        if deadline.passed:  # a connection that is cut ends some bodies as if they were whole
            raise OutcomeUnknown("sent, but no whole answer: the total time was up")
    return Answer(response.status_code, content, response.headers)


def _whole_body(response: requests.Response, limit_bytes: int) -> bytes:
    """Raises OutcomeUnknown when it is longer: half an answer must not be taken for one."""
    if response.is_redirect:  # requests has read it to look where it leads
        return b""
    received = b""
    while part := response.raw.read1(64 * 1024, decode_content=False):
        received += part
        if len(received) > limit_bytes:
            raise OutcomeUnknown(f"sent, but the answer is longer than {limit_bytes:,} bytes")
    announced = response.headers.get("Content-Length", "")
    if announced.isdecimal() and len(received) < int(announced):
        raise OutcomeUnknown("sent, but the answer broke off")
    return received
