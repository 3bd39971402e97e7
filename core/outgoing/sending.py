"""One request to a vendor: its answer, and what went wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import perf_counter
from typing import NamedTuple
from urllib.parse import urlsplit

import requests
from urllib3 import BaseHTTPResponse, Timeout
from urllib3.exceptions import HTTPError
from urllib3.util import parse_url

from core.outgoing.connection import Deadline
from core.outgoing.routes import route_to
from core.request_id import request_id_header

CONNECT_SECONDS = 3.05
HEADERS = {"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": "Amani"}
REASON_LIMIT = 300
READ_AT_ONCE_BYTES = 64 * 1024


class DeliveryError(Exception):
    """No answer came. The message names no URL, so no secret."""


class ConnectFailed(DeliveryError):
    """Nothing of the request was sent: the vendor certainly does not have it."""


class OutcomeUnknown(DeliveryError):
    """At least a part of the request was sent and no answer came: the vendor may have acted on it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, whatever its status; a redirect is an answer too."""

    status: int
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")


class Call(NamedTuple):
    """What listeners learn of a request. Of the URL only the host: the path may be a secret.

    `outcome`: the answer's status, or the name of the error. `began`: on the clock of time.perf_counter().
    """

    method: str
    host: str
    outcome: int | str
    began: float
    seconds: float


_listeners: list[Callable[[Call], None]] = []


def listen(listener: Callable[[Call], None]) -> None:
    """Calls `listener` after each request, in the request's thread."""
    if listener not in _listeners:
        _listeners.append(listener)


def send(
    method: str,
    url: str,
    *,
    body: bytes,
    headers: Mapping[str, str],
    seconds: float,
    limit_bytes: int,
    connect_seconds: float = CONNECT_SECONDS,
    read_seconds: float | None = None,
    beginning_is_enough: bool = False,
) -> Answer:
    """Sends one request and returns the answer, within `seconds` in all.

    `limit_bytes`: how long the answer's body may be. `read_seconds`: how long each read may take.
    `beginning_is_enough`: a body that is too long or breaks off is returned as far as it came; without it,
    that is OutcomeUnknown. Raises ConnectFailed or OutcomeUnknown.
    """
    started = perf_counter()
    timeout = Timeout(connect=min(connect_seconds, seconds), read=min(read_seconds or seconds, seconds))
    all_headers = {**HEADERS, **request_id_header(), **headers}
    try:
        with Deadline(seconds) as deadline:
            response = _response_to(method, url, body, all_headers, timeout, deadline)
            try:
                content = _body_of(response, limit_bytes, beginning_is_enough=beginning_is_enough)
            except (HTTPError, OSError) as error:
                raise no_answer(error, deadline) from None
            finally:
                response.close()
    except DeliveryError as error:
        _notify_listeners(method, url, type(error).__name__, started)
        raise
    _notify_listeners(method, url, response.status, started)
    return Answer(response.status, content, response.headers)


def _response_to(
    method: str,
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    timeout: Timeout,
    deadline: Deadline,
) -> BaseHTTPResponse:
    """Returns the response with its body unread."""
    try:
        address = parse_url(url)
        route = route_to(address)
        return route.pool.urlopen(
            method,
            route.target_of(address),
            body=body,
            headers=headers,
            timeout=timeout,
            retries=False,
            redirect=False,
            assert_same_host=False,  # the pool of a proxy has the proxy's host
            preload_content=False,
            decode_content=False,
        )
    except (requests.RequestException, HTTPError, OSError, UnicodeError) as error:
        raise no_answer(error, deadline) from None  # the chain's messages contain the URL


def no_answer(error: Exception, deadline: Deadline) -> DeliveryError:
    why = "the total time was up" if deadline.passed else _cause(error)
    if deadline.request_began:
        return OutcomeUnknown(f"sent, but no answer: {why}")
    return ConnectFailed(f"not sent: {why}")


def _cause(error: BaseException) -> str:
    """Returns the kind of the error and the operating system's own message, which names no URL."""
    kind = type(error).__name__
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        if isinstance(cause, OSError) and not isinstance(cause, requests.RequestException) and cause.strerror:
            return f"{kind}, {cause.strerror}"[:REASON_LIMIT]
        cause = cause.__cause__ or cause.__context__
    return kind


def _body_of(response: BaseHTTPResponse, limit_bytes: int, *, beginning_is_enough: bool) -> bytes:
    """Reads the body as it arrives: each read returns what is there, so a timeout loses only the rest."""
    received = bytearray()
    most = limit_bytes if beginning_is_enough else limit_bytes + 1
    try:
        while len(received) < most:
            size = min(READ_AT_ONCE_BYTES, most - len(received))
            part = response.read1(size, decode_content=False)
            if not part:
                break
            received += part
    except (HTTPError, OSError):
        if not beginning_is_enough:  # otherwise the status says what became of the request
            raise
    if not beginning_is_enough:
        _refuse_half(response, len(received), limit_bytes)
    return bytes(received)


def _refuse_half(response: BaseHTTPResponse, length: int, limit_bytes: int) -> None:
    """Raises OutcomeUnknown for a body that is too long or broke off: half an answer is none."""
    if length > limit_bytes:
        raise OutcomeUnknown(f"sent, but the answer is longer than {limit_bytes:,} bytes")
    announced = response.headers.get("Content-Length", "")
    if announced.isdecimal() and length < int(announced):
        raise OutcomeUnknown("sent, but the answer broke off")


def _notify_listeners(method: str, url: str, outcome: int | str, started: float) -> None:
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        host = "nowhere"
    call = Call(method, host, outcome, started, perf_counter() - started)
    for listener in _listeners:
        listener(call)
