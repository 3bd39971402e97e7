"""The sandbox bank's contract: requests, answers, and the signature of its webhooks. Pure functions.

    POST /api/collections          begins one; the same reference again answers the same
    GET  /api/collections/<ref>    status (open, received, unpaid, reversed), paid_minor, currency
    POST /api/payouts              pays; the same reference again answers the same and pays nothing
    GET  /api/payouts/<ref>        status (sent, settled, failed, reversed), amount_minor, currency

A webhook is a JSON object with id, type and reference, and the header
`Sandbox-Signature: t=<Unix time>,v1=<hex>`, the HMAC-SHA256 of `<t>.<body>` with the key.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from escrow.payments.answers import LONGEST_TEXT, amount_of, text_of
from escrow.payments.base import (
    CollectionFacts,
    CollectionSeen,
    CollectionStatus,
    PayoutFacts,
    PayoutSeen,
    PayoutStatus,
)

SIGNATURE = "Sandbox-Signature"
# A late webhook may be the only sign of a reversal, and it only triggers a question.
OLDEST_SECONDS = (
    3 * 24 * 3600
)  # a late webhook may be the only sign of a reversal, and only triggers a question
FURTHEST_AHEAD_SECONDS = 15 * 60


def collection_request(facts: CollectionFacts) -> dict[str, Any]:
    return asdict(facts)


def payout_request(facts: PayoutFacts) -> dict[str, Any]:
    return asdict(facts)


def collection_seen(content: Mapping[str, Any]) -> CollectionSeen:
    """Returns what the bank says about a collection. An unknown status is UNKNOWN."""
    status = text_of(content, "status")
    known = status in set(CollectionStatus)
    return CollectionSeen(
        status=CollectionStatus(status) if known else CollectionStatus.UNKNOWN,
        reference=text_of(content, "reference"),
        amount_minor=amount_of(content, "paid_minor"),
        currency=text_of(content, "currency"),
        provider_reference=text_of(content, "id"),
        text=status[:LONGEST_TEXT],
    )


def payout_seen(content: Mapping[str, Any]) -> PayoutSeen:
    """Returns what the bank says about a payout. An unknown status is UNKNOWN."""
    status = text_of(content, "status")
    known = status in set(PayoutStatus)
    return PayoutSeen(
        status=PayoutStatus(status) if known else PayoutStatus.UNKNOWN,
        reference=text_of(content, "reference"),
        amount_minor=amount_of(content, "amount_minor"),
        currency=text_of(content, "currency"),
        provider_reference=text_of(content, "id"),
        text=status[:LONGEST_TEXT],
    )


def signature_of(body: bytes, key: str, at: int) -> str:
    """Returns the header's value for a webhook that is sent at `at`, Unix time."""
    return f"t={at},v1={digest(body, key, str(at))}"


def is_signed(body: bytes, header: str, key: str) -> bool:
    """Returns whether the header is right, and neither too old nor in the future."""
    parts = dict(part.partition("=")[::2] for part in header.split(","))
    at, given = parts.get("t", ""), parts.get("v1", "")
    if not (key and at.isascii() and at.isdigit() and len(at) <= 12):
        return False
    is_timely = -OLDEST_SECONDS <= int(at) - time.time() <= FURTHEST_AHEAD_SECONDS
    expected = digest(body, key, at).encode()
    return hmac.compare_digest(expected, given.encode("ascii", "replace")) and is_timely


def digest(body: bytes, key: str, at: str) -> str:
    return hmac.digest(key.encode(), at.encode() + b"." + body, "sha256").hex()
