"""A payout and a collection with everything that their pages show."""

from __future__ import annotations

from typing import Any, NamedTuple

from django.test import override_settings

from accounts.models import User
from escrow.escrows.tests import deals
from escrow.models import Collection, Contradiction, PaymentEvent, Payout, ProviderCall
from escrow.payments.tests.money import asked, rich

SANDBOX = {
    "PAYMENT_PROVIDER": "sandbox",
    "PAYMENT_SANDBOX_KEY": "a key",
    "PAYMENT_SANDBOX_URL": "http://127.0.0.1:9",
    "PAYMENT_SANDBOX_IN_PRODUCTION": True,
}


class Payments(NamedTuple):
    payout: Payout
    collection: Collection
    event: PaymentEvent


def make_payout(user: User | None = None, **changes: Any) -> Payout:
    """One that was asked for while a provider is set up; nothing is sent."""
    with override_settings(**SANDBOX):
        return asked(user or rich(), **changes)


def make_collection() -> Collection:
    deal = deals.funded()
    return Collection.objects.create(
        escrow=deal.escrow,
        payer=deal.buyer,
        amount_minor=deal.escrow.due_minor,
        currency="NGN",
        provider="sandbox",
        reference=f"collection-{deal.escrow.pk}",
    )


def history_of(**about: Any) -> PaymentEvent:
    """A request, a contradiction and a webhook about a payout or a collection."""
    (row,) = about.values()
    ProviderCall.objects.create(
        provider="sandbox", operation="ask", outcome="unknown", text="504", seconds=0.25, **about
    )
    Contradiction.objects.create(
        provider="sandbox", kind="other_amount", booked="XTS 40", said=f"XTS 41 of {row.reference}", **about
    )
    return PaymentEvent.objects.create(
        provider="sandbox",
        event_id=f"event-{row.reference}",
        kind="transfer.success",
        reference=row.reference,
        body=b"sealed",
        signature_ok=True,
        state="failed",
        reason="The provider does not answer.",
        next_attempt_at=None,
        **about,
    )


def whole_payments() -> Payments:
    payout, collection = make_payout(), make_collection()
    history_of(collection=collection)
    return Payments(payout, collection, history_of(payout=payout))
