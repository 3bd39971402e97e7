"""One POST of JSON to a vendor. The mechanism is core/outgoing: bounded, and certain about what was sent."""

from __future__ import annotations

import json

from core.outgoing import ConnectFailed as ConnectFailed  # with the next three, all that a delivery needs
from core.outgoing import DeliveryError as DeliveryError
from core.outgoing import OutcomeUnknown as OutcomeUnknown
from core.outgoing import redact as redact
from core.outgoing import send
from observability.notifiers.base import OutgoingRequest, VendorResponse

BODY_LIMIT_BYTES = 64 * 1024


def post(
    request: OutgoingRequest, *, connect_timeout: float, read_timeout: float, total_timeout: float
) -> VendorResponse:
    """Sends `request` as JSON and returns the answer, whatever its status; a redirect is an answer too.

    Of the body at most BODY_LIMIT_BYTES are read, and no longer than `total_timeout` seconds from the start;
    when it is cut short after the status came, what came is returned. Raises ConnectFailed or OutcomeUnknown.
    """
    try:
        body = json.dumps(request.json, ensure_ascii=False, allow_nan=False).encode()
    except UnicodeError as error:
        raise ConnectFailed(f"not sent: {type(error).__name__}") from None
    answer = send(
        "POST",
        request.url,
        body=body,
        headers={"Content-Type": "application/json; charset=utf-8", **request.headers},
        seconds=total_timeout,
        connect_seconds=connect_timeout,
        read_seconds=read_timeout,
        limit_bytes=BODY_LIMIT_BYTES,
        beginning_is_enough=True,
    )
    return VendorResponse(answer.status, answer.text, answer.headers)
