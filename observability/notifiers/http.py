"""One POST to a vendor: bounded in time and size, and certain about whether the vendor may have got it."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping
from http.cookiejar import DefaultCookiePolicy
from time import perf_counter
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.cookies import RequestsCookieJar
from urllib3.exceptions import HTTPError

from core.request_id import request_id_header
from observability.notifiers.base import OutgoingRequest, VendorResponse
from observability.notifiers.connection import Deadline, GuardedAdapter
from observability.notifiers.redaction import redact as redact  # callers need nothing else for a delivery
from observability.telemetry.errors.trail import trail

BODY_LIMIT_BYTES = 64 * 1024
USER_AGENT = "Amani"
REASON_LIMIT = 300

_local = threading.local()


class DeliveryError(Exception):
    """No answer came. The message names no URL, so no secret."""


class ConnectFailed(DeliveryError):
    """Nothing of the request was sent: the vendor certainly does not have it."""


class OutcomeUnknown(DeliveryError):
    """At least a part of the request was sent and no answer came: the vendor may have acted on it."""


def post(
    request: OutgoingRequest, *, connect_timeout: float, read_timeout: float, total_timeout: float
) -> VendorResponse:
    """Send `request` as JSON and return the answer, whatever its status; a redirect is an answer too.

    Of the body at most BODY_LIMIT_BYTES are read, and no longer than `total_timeout` seconds from the start;
    when it is cut short after the status came, what came is returned. Raises ConnectFailed or OutcomeUnknown.
    """
    started = perf_counter()
    try:
        response = _send(request, connect_timeout, read_timeout, total_timeout)
    except DeliveryError as error:
        leave_crumb(request.url, type(error).__name__, started)
        raise
    leave_crumb(request.url, response.status, started)
    return response


def leave_crumb(url: str, outcome: int | str, started: float) -> None:
    """For a later error's trail; of the URL only the host, because the path is Slack's secret."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        host = "nowhere"
    milliseconds = round((perf_counter() - started) * 1000, 2)
    data = {"status_code": outcome, "duration_ms": milliseconds}
    trail.add(f"POST {host}", "httplib", data=data, kind="http", at=started)


def _send(
    request: OutgoingRequest, connect_timeout: float, read_timeout: float, total_timeout: float
) -> VendorResponse:
    with Deadline(total_timeout) as deadline:
        timeout = (min(connect_timeout, total_timeout), min(read_timeout, total_timeout))
        try:
            kept = session()
            prepared = kept.prepare_request(
                requests.Request(
                    "POST",
                    request.url,
                    data=json.dumps(request.json, ensure_ascii=False, allow_nan=False).encode(),
                    headers={
                        "Content-Type": "application/json; charset=utf-8",
                        **request_id_header(),
                        **request.headers,
                    },
                )
            )
            response = kept.send(
                prepared, timeout=timeout, allow_redirects=False, **from_environment(kept, prepared)
            )
        except (requests.RequestException, HTTPError, OSError, UnicodeError) as error:
            raise no_answer(error, deadline) from None  # the chain's messages contain the URL
        try:
            if deadline.passed:  # http.client takes headers that break off for all of them
                raise OutcomeUnknown("sent, but no answer: the total time was up")
            body = _beginning_of(response)
        finally:
            response.close()
    return VendorResponse(response.status_code, body, response.headers)


def no_answer(error: Exception, deadline: Deadline) -> DeliveryError:
    why = "the total time was up" if deadline.passed else _cause(error)
    if deadline.request_began:
        return OutcomeUnknown(f"sent, but no answer: {why}")
    return ConnectFailed(f"not sent: {why}")


def _cause(error: BaseException) -> str:
    """The kind of the error and the operating system's own words for it, which name no URL."""
    kind = type(error).__name__
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        if isinstance(cause, OSError) and not isinstance(cause, requests.RequestException) and cause.strerror:
            return f"{kind}, {cause.strerror}"[:REASON_LIMIT]
        cause = cause.__cause__ or cause.__context__
    return kind


def _beginning_of(response: requests.Response) -> str:
    """Read as it arrives: each read returns what is there, so a cut loses only what had not come yet."""
    received = b""
    try:
        while len(received) < BODY_LIMIT_BYTES:
            part = response.raw.read1(BODY_LIMIT_BYTES - len(received), decode_content=False)
            if not part:
                break
            received += part
    except (HTTPError, OSError):
        # The status has come and says what became of the request; the rest of the body is only its wording.
        pass
    return received.decode("utf-8", "replace")


def from_environment(kept: requests.Session, prepared: requests.PreparedRequest) -> Mapping[str, Any]:
    """Proxies and certificates for the request's host. `requests` would look for them at each request."""
    parts = urlsplit(prepared.url or "")
    found: dict[tuple[str, str], Mapping[str, Any]] = _local.environment
    if (parts.scheme, parts.netloc) not in found:
        settings = kept.merge_environment_settings(prepared.url, {}, stream=True, verify=None, cert=None)
        found[parts.scheme, parts.netloc] = settings
    return found[parts.scheme, parts.netloc]


def session() -> requests.Session:
    """This thread's session; a new one after a fork, so that two processes never share a connection."""
    if getattr(_local, "process_id", None) != os.getpid():
        _local.session, _local.process_id = _new_session(), os.getpid()
        _local.environment = {}
    kept: requests.Session = _local.session
    return kept


def _new_session() -> requests.Session:
    """Takes proxy and certificates from the environment, but no password from ~/.netrc; keeps no cookie."""
    session = requests.Session()
    session.auth = _unchanged  # requests looks into ~/.netrc only when it has no other way to sign in
    session.cookies = RequestsCookieJar(policy=DefaultCookiePolicy(allowed_domains=[]))
    session.headers.update({"User-Agent": USER_AGENT, "Accept-Encoding": "identity"})
    for scheme in ("http://", "https://"):
        session.mount(scheme, GuardedAdapter(pool_connections=4, pool_maxsize=2, max_retries=0))
    return session


def _unchanged(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request
