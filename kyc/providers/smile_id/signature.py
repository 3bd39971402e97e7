"""Smile ID's signature: HMAC-SHA256 of timestamp, partner id and "sid_request", in base64.

Requests, responses and callbacks use the same signature. It does not cover the body: it proves only that the
sender has our API key, and when it signed. (Sources: docs.usesmileid.com, "Signature", and
smileidentity/smile-identity-core-python, smile_id_core/Signature.py.)
"""

from __future__ import annotations

import hmac
from base64 import b64encode
from datetime import UTC, datetime, timedelta

# A callback only triggers a request to Smile ID, so an old one is harmless, and a late one may be the only
# sign of a reversal. The window limits how long a stolen signature can trigger requests.
OLDEST = timedelta(days=3)
FURTHEST_AHEAD = timedelta(minutes=15)


def signature_of(*, timestamp: str, partner_id: str, api_key: str) -> str:
    message = f"{timestamp}{partner_id}sid_request".encode()
    return b64encode(hmac.digest(api_key.encode(), message, "sha256")).decode()


def signed(*, partner_id: str, api_key: str) -> dict[str, str]:
    """Returns timestamp and signature for a request that is sent now."""
    timestamp = datetime.now(UTC).isoformat(timespec="milliseconds")
    signature = signature_of(timestamp=timestamp, partner_id=partner_id, api_key=api_key)
    return {"timestamp": timestamp, "signature": signature}


def is_genuine(*, timestamp: object, signature: object, partner_id: str, api_key: str) -> bool:
    """Returns whether the signature is right, compared in constant time; False if no key is set."""
    if not (api_key and partner_id and isinstance(timestamp, str) and isinstance(signature, str)):
        return False
    if not (
        timestamp.isascii() and signature.isascii()
    ):  # JSON can contain lone surrogates, which cannot be encoded
        return False
    expected = signature_of(timestamp=timestamp, partner_id=partner_id, api_key=api_key)
    return hmac.compare_digest(expected.encode(), signature.encode())


def is_timely(timestamp: str, now: datetime) -> bool:
    """Returns whether `timestamp` (UTC if it has no zone) is not too old and not in the future."""
    try:
        moment = datetime.fromisoformat(timestamp)
    except ValueError:
        return False
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return now - OLDEST <= moment <= now + FURTHEST_AHEAD
