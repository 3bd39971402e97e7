"""Builds requests to Paystack and interprets its answers. Pure functions.

Sources: paystack.com/docs: API reference (Transactions, Transfer Recipients, Transfers, Errors), "Accept
payments", "Transfers" (statuses, retries with the same reference), "Webhooks".
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping
from typing import Any

from escrow.payments.answers import LONGEST_TEXT, amount_of, text_of
from escrow.payments.base import (
    CollectionFacts,
    CollectionSeen,
    CollectionStatus,
    Destination,
    PayoutFacts,
    PayoutSeen,
    PayoutStatus,
)

COLLECTED_IN = frozenset({"NGN", "GHS", "ZAR", "KES", "USD"})
RECIPIENT_TYPES = {"NGN": "nuban", "GHS": "ghipss", "ZAR": "basa", "KES": "kepss"}

# "abandoned": the buyer opened the page and has not paid; Paystack says so from the first moment on, and a
# payment may follow.
COLLECTION_STATUSES = {
    "success": CollectionStatus.RECEIVED,
    "failed": CollectionStatus.UNPAID,
    "reversed": CollectionStatus.REVERSED,
    "abandoned": CollectionStatus.OPEN,
    "ongoing": CollectionStatus.OPEN,
    "pending": CollectionStatus.OPEN,
    "processing": CollectionStatus.OPEN,
    "queued": CollectionStatus.OPEN,
}
# Not conclusive: pending, received, otp (a person has to confirm it). Conclusive: all others. "abandoned": no
# OTP came in 30 minutes; "blocked" and "rejected": refused by our or Paystack's own approval.
PAYOUT_STATUSES = {
    "pending": PayoutStatus.SENT,
    "received": PayoutStatus.SENT,
    "otp": PayoutStatus.SENT,
    "success": PayoutStatus.SETTLED,
    "failed": PayoutStatus.FAILED,
    "abandoned": PayoutStatus.FAILED,
    "blocked": PayoutStatus.FAILED,
    "rejected": PayoutStatus.FAILED,
    "reversed": PayoutStatus.REVERSED,
}


def initialize_request(facts: CollectionFacts) -> dict[str, Any]:
    """Returns the body of POST /transaction/initialize. Amounts are in sub-units, as ours."""
    return {
        "email": facts.email,
        "amount": facts.amount_minor,
        "currency": facts.currency,
        "reference": facts.reference,
        "callback_url": facts.return_url,
        "metadata": {"title": facts.title},
    }


def recipient_request(destination: Destination, currency: str) -> dict[str, Any]:
    """Returns the body of POST /transferrecipient. The same account gets the same recipient again."""
    return {
        "type": RECIPIENT_TYPES[currency],
        "name": destination.account_name,
        "account_number": destination.account_number,
        "bank_code": destination.bank_code,
        "currency": currency,
    }


def transfer_request(facts: PayoutFacts, recipient_code: str) -> dict[str, Any]:
    """Returns the body of POST /transfer."""
    return {
        "source": "balance",
        "amount": facts.amount_minor,
        "currency": facts.currency,
        "recipient": recipient_code,
        "reference": facts.reference,
        "reason": facts.reason,
    }


def collection_seen(data: Mapping[str, Any]) -> CollectionSeen:
    """Returns what `data` of GET /transaction/verify says. An unknown status is UNKNOWN."""
    status = text_of(data, "status")
    return CollectionSeen(
        status=COLLECTION_STATUSES.get(status, CollectionStatus.UNKNOWN),
        reference=text_of(data, "reference"),
        amount_minor=amount_of(data, "amount"),
        currency=text_of(data, "currency"),
        provider_reference=text_of(data, "id"),
        text=status[:LONGEST_TEXT],
        fee_minor=fee_of(data),
    )


def fee_of(data: Mapping[str, Any]) -> int | None:
    """Returns `fees`, in sub-units: null until a payment is a success, after which Paystack has kept them."""
    fee_minor = amount_of(data, "fees")
    return fee_minor if fee_minor >= 0 else None


def payout_seen(data: Mapping[str, Any]) -> PayoutSeen:
    """Returns what `data` of POST /transfer or GET /transfer/verify says. An unknown status is UNKNOWN."""
    status = text_of(data, "status")
    return PayoutSeen(
        status=PAYOUT_STATUSES.get(status, PayoutStatus.UNKNOWN),
        reference=text_of(data, "reference"),
        amount_minor=amount_of(data, "amount"),
        currency=text_of(data, "currency"),
        provider_reference=text_of(data, "transfer_code"),
        text=status[:LONGEST_TEXT],
    )


def data_of(content: Mapping[str, Any]) -> dict[str, Any]:
    """Returns `data` of a successful answer; an empty object for any other."""
    data = content.get("data")
    return data if content.get("status") is True and isinstance(data, dict) else {}


def is_error(content: Mapping[str, Any]) -> bool:
    """Returns whether the body is an error of Paystack, and not of a proxy before it."""
    return content.get("status") is False and isinstance(content.get("message"), str)


def is_about_the_reference(content: Mapping[str, Any]) -> bool:
    """Returns whether a refusal says that Paystack has the reference already."""
    said = f"{text_of(content, 'code')} {text_of(content, 'message')}".lower()
    return "duplicate" in said or "reference" in said


def is_about_our_balance(content: Mapping[str, Any]) -> bool:
    """Returns whether a refusal says that our balance at Paystack is too low, which may change."""
    said = f"{text_of(content, 'code')} {text_of(content, 'message')}".lower()
    return "balance" in said


def is_not_found(content: Mapping[str, Any]) -> bool:
    said = f"{text_of(content, 'code').replace('_', ' ')} {text_of(content, 'message')}".lower()
    return is_error(content) and "not found" in said


def reference_in(content: Mapping[str, Any]) -> str:
    """Returns our reference in a webhook: where it is depends on what the event is about."""
    data = content.get("data")
    if not isinstance(data, dict):
        return ""
    about = data.get("transaction")  # of a dispute
    return text_of(data, "reference") or text_of(data, "transaction_reference") or text_of(about, "reference")


def is_signed(body: bytes, signature: str, keys: Iterable[str]) -> bool:
    """Returns whether `signature` is the HMAC-SHA512 of the raw body with one of our live keys."""
    given = signature.strip().lower().encode("ascii", "replace")
    expected = [hmac.digest(key.encode(), body, "sha512").hex().encode() for key in keys if key]
    return any(hmac.compare_digest(each, given) for each in expected)
