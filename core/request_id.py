"""Gives each request an id, and passes it on to all that the request causes.

The id is taken from a well-formed `X-Request-ID`, or made.
"""

import re
from contextvars import ContextVar
from random import getrandbits

from core.scrubbing import scrub_text

# Any other id could forge log lines or make them very long, so it is replaced.
WELL_FORMED = re.compile(r"[A-Za-z0-9._-]{8,64}")

request_id: ContextVar[str] = ContextVar("request_id", default="")


def current_request_id() -> str:
    """Returns the id of the request, or of the request that caused this task; "" outside of both."""
    return request_id.get()


def request_id_header() -> dict[str, str]:
    """Returns the header that passes the current id on to another server."""
    identifier = request_id.get()
    return {"X-Request-ID": identifier} if identifier else {}


def choose_request_id(offered: str | None) -> str:
    """Returns `offered` if it is well-formed and does not look like a secret, else a new id (32 hex digits).

    Eleven digits are well-formed, but could be a BVN; the scrubber would hide them in every log line.
    """
    if offered and WELL_FORMED.fullmatch(offered) and scrub_text(offered) == offered:
        return offered
    return f"{getrandbits(128):032x}"  # no secret, so it needs no system call
