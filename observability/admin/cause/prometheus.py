"""Queries Prometheus's API with a limit of time and size. The form of its response is not trusted."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import requests
import structlog
from django.conf import settings
from urllib3.exceptions import HTTPError

from core.outgoing import Deadline, GuardedAdapter

MOST_BYTES = 4 * 1024 * 1024

log = structlog.get_logger(__name__)


class NoAnswer(Exception):
    """Prometheus gave no usable response; the message tells an operator why."""


def ask(path: str, deadline: Deadline, **parameters: str) -> Any:
    """Returns the `data` of Prometheus's response. `deadline` must have been entered. Raises NoAnswer."""
    url = f"{settings.PROMETHEUS_URL}/api/v1/{path}?{urlencode(parameters)}"
    try:
        document = json.loads(fetch(url, deadline))
    except (requests.RequestException, HTTPError, OSError) as problem:
        log.warning("prometheus_query_failed", error=type(problem).__name__)
        why = "does not answer in time" if deadline.passed else "cannot be reached"
        raise NoAnswer(f"Prometheus {why}.") from None
    except (ValueError, RecursionError):
        why = "does not answer in time" if deadline.passed else "gave a response that is not JSON"
        raise NoAnswer(f"Prometheus {why}.") from None
    if not isinstance(document, dict) or document.get("status") != "success":
        raise NoAnswer("Prometheus rejected the query.")
    return document.get("data")


def fetch(url: str, deadline: Deadline) -> bytes:
    with requests.Session() as session:
        session.trust_env = False  # an internal server: no proxy, no password from ~/.netrc
        for scheme in ("http://", "https://"):
            session.mount(scheme, GuardedAdapter(max_retries=0))
        session.headers["Accept-Encoding"] = "identity"
        timeout = max(deadline.remaining(), 0.001)
        with session.get(url, timeout=timeout, allow_redirects=False, stream=True) as response:
            return beginning_of(response)


def beginning_of(response: requests.Response) -> bytes:
    received = bytearray()
    while part := response.raw.read1(64 * 1024, decode_content=False):
        received += part
        if len(received) > MOST_BYTES:
            raise NoAnswer("Prometheus's response is too long.")
    return bytes(received)
