"""Smile ID's signature: HMAC-SHA256 of timestamp, partner id and "sid_request", in base64.

Requests, answers and callbacks carry the same one. It covers no body: it shows that the sender has our API
key and when it used it, not what it says. (Read: docs.usesmileid.com, "Signature", and
smileidentity/smile-identity-core-python, smile_id_core/Signature.py.)
"""

from __future__ import annotations

import hmac
from base64 import b64encode
from datetime import UTC, datetime, timedelta

# A callback is acted on only after asking Smile ID, so an old one does no harm and a late one may be the only
# word of a reversal. The window bounds for how long a signature that somebody saw can make us ask.
OLDEST = timedelta(days=3)
FURTHEST_AHEAD = timedelta(minutes=15)


def signature_of(*, timestamp: str, partner_id: str, api_key: str) -> str:
    message = f"{timestamp}{partner_id}sid_request".encode()
    return b64encode(hmac.digest(api_key.encode(), message, "sha256")).decode()


def signed(*, partner_id: str, api_key: str) -> dict[str, str]:
    """The two fields of a request that is sent now."""
    timestamp = datetime.now(UTC).isoformat(timespec="milliseconds")
    signature = signature_of(timestamp=timestamp, partner_id=partner_id, api_key=api_key)
    return {"timestamp": timestamp, "signature": signature}


def is_genuine(*, timestamp: object, signature: object, partner_id: str, api_key: str) -> bool:
    """In constant time. Without a key of ours nothing is genuine."""
    if not (api_key and partner_id and isinstance(timestamp, str) and isinstance(signature, str)):
        return False
    if not (timestamp.isascii() and signature.isascii()):  # JSON can name half characters, which no bytes are
        return False
    expected = signature_of(timestamp=timestamp, partner_id=partner_id, api_key=api_key)
    return hmac.compare_digest(expected.encode(), signature.encode())


def is_timely(timestamp: str, now: datetime) -> bool:
    """Whether `timestamp`, taken as UTC when it names no zone, is neither old nor from the future."""
    try:
        moment = datetime.fromisoformat(timestamp)
    except ValueError:
        return False
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return now - OLDEST <= moment <= now + FURTHEST_AHEAD
