"""Books what a payment provider kept of a payment: its own transfer, once, after the money is booked.

The provider holds so much less for Amani, and the house bears it: what the escrow holds does not change.
    account                         entry
    provider_clearing (provider)    +fee
    provider_fee (provider)         -fee
A provider may say it only when it is asked again. It is not given back when the payment is taken back.
"""

from __future__ import annotations

from escrow import ledger
from escrow.ledger import Leg, TransferKind
from escrow.models.payments import Collection, Contradiction
from escrow.payments.base import CollectionSeen
from escrow.payments.contradictions import note


def book_fee(collection: Collection, seen: CollectionSeen) -> None:
    """Books the fee of a locked collection that was received, in the caller's transaction.

    Another fee than the booked one, or one that is more than what came, is noted and moves nothing.
    """
    fee_minor = seen.fee_minor
    if not fee_minor or fee_minor == collection.fee_minor:
        return
    if collection.fee_minor is not None or fee_minor > collection.received_minor:
        booked = f"fee {collection.fee_minor or 0} of {collection.received_minor}"
        note(collection, Contradiction.Kind.OTHER_AMOUNT, booked=booked, said=f"fee {fee_minor}")
        return
    post(collection, fee_minor)
    collection.fee_minor = fee_minor
    collection.save(update_fields=["fee_minor"])


def post(collection: Collection, fee_minor: int) -> None:
    provider, currency = collection.provider, collection.received_currency
    ledger.post(
        kind=TransferKind.PROVIDER_FEE,
        key=f"collection:{collection.pk}:{collection.reference}",
        legs=[
            Leg(ledger.clearing(provider, currency), fee_minor),
            Leg(ledger.provider_fee(provider, currency), -fee_minor),
        ],
        escrow_id=collection.escrow_id,
    )
