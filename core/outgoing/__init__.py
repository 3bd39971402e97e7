"""Requests to servers of vendors: bounded in time and size, and certain about whether anything was sent.

How an app uses it:

    try:
        answer = outgoing.send("POST", url, body=..., headers=..., seconds=15, limit_bytes=100_000)
    except outgoing.ConnectFailed: ...    # the vendor certainly does not have it
    except outgoing.OutcomeUnknown: ...   # the vendor may have acted on it; DeliveryError is the base of both
    seconds = outgoing.seconds_to_wait(answer.headers, answer.text)  # what a 429 asks for
"""

from core.outgoing.connection import Deadline
from core.outgoing.redaction import reason_of, redact
from core.outgoing.retry_after import seconds_to_wait
from core.outgoing.sending import (
    Answer,
    AnswerTooLong,
    Call,
    ConnectFailed,
    DeliveryError,
    OutcomeUnknown,
    listen,
    send,
)

__all__ = [
    "Answer",
    "AnswerTooLong",
    "Call",
    "ConnectFailed",
    "Deadline",
    "DeliveryError",
    "OutcomeUnknown",
    "listen",
    "reason_of",
    "redact",
    "seconds_to_wait",
    "send",
]
