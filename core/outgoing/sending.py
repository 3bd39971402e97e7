"""One request to a vendor: the session that it goes through, its answer, and what went wrong."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from http.cookiejar import DefaultCookiePolicy
from time import perf_counter
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import requests
from requests.cookies import RequestsCookieJar
from urllib3.exceptions import HTTPError

from core.outgoing.connection import Deadline, GuardedAdapter
from core.request_id import request_id_header

CONNECT_SECONDS = 3.05
USER_AGENT = "Amani"
REASON_LIMIT = 300
READ_AT_ONCE_BYTES = 64 * 1024

_local = threading.local()


class DeliveryError(Exception):
    """No answer came. The message names no URL, so no secret."""


class ConnectFailed(DeliveryError):
    """Nothing of the request was sent: the vendor certainly does not have it."""


class OutcomeUnknown(DeliveryError):
    """At least a part of the request was sent and no answer came: the vendor may have acted on it."""


class AnswerTooLong(OutcomeUnknown):
    """The answer has a longer body than the caller wanted to read."""


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
    by_proxy: bool = True,
) -> Answer:
    """Sends one request and returns the answer, within `seconds` in all.

    `limit_bytes`: how long the answer's body may be. `read_seconds`: how long each read may take.
    `beginning_is_enough`: a body that is too long or breaks off is returned as far as it came; without it,
    that is OutcomeUnknown. `by_proxy`: use the proxy that the environment names; False for a server of the
    installation itself. Raises ConnectFailed, or OutcomeUnknown (AnswerTooLong is one).
    """
    started = perf_counter()
    timeout = (min(connect_seconds, seconds), min(read_seconds or seconds, seconds))
    prepared_headers = {**request_id_header(), **headers}
    try:
        with Deadline(seconds) as deadline:
            response = _response_to(method, url, body, prepared_headers, timeout, deadline, by_proxy=by_proxy)
            try:
                content = _body_of(response, limit_bytes, beginning_is_enough=beginning_is_enough)
            except (HTTPError, OSError) as error:
                raise no_answer(error, deadline) from None
            finally:
                response.close()
    except DeliveryError as error:
        _notify_listeners(method, url, type(error).__name__, started)
        raise
    _notify_listeners(method, url, response.status_code, started)
    return Answer(response.status_code, content, response.headers)


def _response_to(
    method: str,
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    timeout: tuple[float, float],
    deadline: Deadline,
    *,
    by_proxy: bool,
) -> requests.Response:
    """Returns the response with its body unread."""
    try:
        kept = session()
        prepared = _prepared(kept, method, url, body, headers)
        environment = from_environment(kept, prepared)
        if not by_proxy:
            environment = {**environment, "proxies": {}}
        return kept.send(prepared, timeout=timeout, allow_redirects=False, **environment)
    except (requests.RequestException, HTTPError, OSError, UnicodeError) as error:
        raise no_answer(error, deadline) from None  # the chain's messages contain the URL


def _prepared(
    kept: requests.Session, method: str, url: str, body: bytes, headers: Mapping[str, str]
) -> requests.PreparedRequest:
    """Prepares what is sent, without a password from ~/.netrc or the URL.

    `Session.prepare_request` takes three times as long, because it merges what a session may hold.
    """
    prepared = requests.PreparedRequest()
    prepared.prepare_method(method)
    prepared.url = _quoted(url)
    prepared.prepare_headers({**kept.headers, **headers})
    prepared.prepare_cookies(kept.cookies)
    prepared.prepare_body(body, None)
    return prepared


@lru_cache(maxsize=64)
def _quoted(url: str) -> str | None:
    """Returns `url` as `requests` sends it. Raises what it raises for one that cannot be used."""
    prepared = requests.PreparedRequest()
    prepared.prepare_url(url, None)
    return prepared.url


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


def _body_of(response: requests.Response, limit_bytes: int, *, beginning_is_enough: bool) -> bytes:
    """Reads the body as it arrives: each read returns what is there, so a timeout loses only the rest."""
    if response.is_redirect:  # requests has read it to see where it leads
        return b""
    received = bytearray()
    most = limit_bytes if beginning_is_enough else limit_bytes + 1
    try:
        while len(received) < most:
            size = min(READ_AT_ONCE_BYTES, most - len(received))
            part = response.raw.read1(size, decode_content=False)
            if not part:
                break
            received += part
    except (HTTPError, OSError):
        if not beginning_is_enough:  # otherwise the status says what became of the request
            raise
    if not beginning_is_enough:
        _refuse_half(response, len(received), limit_bytes)
    return bytes(received)


def _refuse_half(response: requests.Response, length: int, limit_bytes: int) -> None:
    """Raises OutcomeUnknown for a body that is too long or broke off: half an answer is none."""
    if length > limit_bytes:
        raise AnswerTooLong(f"sent, but the answer is longer than {limit_bytes:,} bytes")
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


# --- The session ---


def session() -> requests.Session:
    """Returns this thread's session; a new one after a fork, so that processes never share a connection."""
    if getattr(_local, "process_id", None) != os.getpid():
        _local.session, _local.process_id = _new_session(), os.getpid()
        _local.environment = {}
    kept: requests.Session = _local.session
    return kept


def _new_session() -> requests.Session:
    """Takes proxy and certificates from the environment; keeps no cookie."""
    session = requests.Session()
    session.cookies = RequestsCookieJar(policy=DefaultCookiePolicy(allowed_domains=[]))
    session.headers.update({"User-Agent": USER_AGENT, "Accept-Encoding": "identity"})
    for scheme in ("http://", "https://"):
        session.mount(scheme, GuardedAdapter(pool_connections=4, pool_maxsize=2, max_retries=0))
    return session


def from_environment(kept: requests.Session, prepared: requests.PreparedRequest) -> Mapping[str, Any]:
    """Returns proxies and certificates for the request's host. `requests` would look at each request."""
    parts = urlsplit(prepared.url or "")
    found: dict[tuple[str, str], Mapping[str, Any]] = _local.environment
    if (parts.scheme, parts.netloc) not in found:
        settings = kept.merge_environment_settings(prepared.url, {}, stream=True, verify=None, cert=None)
        found[parts.scheme, parts.netloc] = settings
    return found[parts.scheme, parts.netloc]
