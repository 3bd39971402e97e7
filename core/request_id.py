"""One id per request: taken from a well-formed `X-Request-ID`, else made, and known to everything it
causes.
"""

import os
import re
from contextvars import ContextVar

from core.scrubbing import scrub_text

# Anything else could forge log lines or fill them, so it is replaced and not repaired.
WELL_FORMED = re.compile(r"[A-Za-z0-9._-]{8,64}")

request_id: ContextVar[str] = ContextVar("request_id", default="")


def current_request_id() -> str:
    """The id of the request (or of the request that caused this task); empty outside of both."""
    return request_id.get()


def request_id_header() -> dict[str, str]:
    """The header that carries the current id to whoever is called."""
    identifier = request_id.get()
    return {"X-Request-ID": identifier} if identifier else {}


def choose_request_id(offered: str | None) -> str:
    """`offered` if it is well-formed and no secret in disguise, else a new id of 32 hexadecimal digits.

    Eleven digits are well-formed, but may be somebody's BVN; the scrubber would hide them in every log line.
    """
    if offered and WELL_FORMED.fullmatch(offered) and scrub_text(offered) == offered:
        return offered
    return os.urandom(16).hex()
