"""Serves the payments of a buyer into an escrow: begins one, and says where to pay and what became of it."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from ninja import Router
from pydantic import Field

from accounts.api import person_of
from core.api.once import Answer
from core.api.versions import etag
from escrow.api.keys import once
from escrow.api.schemas import Money, Strict, money
from escrow.api.terms import Amount
from escrow.escrows.selectors import escrow_of
from escrow.models import Collection
from escrow.payments.collections import collection_of, start_collection
from escrow.payments.errors import CollectionNotFound
from escrow.payments.states import CollectionState

router = Router()


class Funding(Strict):
    amount: Amount | None = Field(None, description="What you pay now. Without it all that is missing.")


class CollectionShown(Strict):
    id: UUID
    escrow: UUID
    state: CollectionState
    amount: Money = Field(description="What is asked for.")
    received: Money = Field(description="What came.")
    checkout_url: str | None = Field(
        description="Where you pay. Null until the payment provider has answered (ask again in a second), "
        "and when nothing is to be paid any more.",
        examples=["https://checkout.example.com/x1y2"],
    )
    created_at: datetime
    state_since: datetime


def collection_shown(collection: Collection, escrow_id: UUID) -> CollectionShown:
    is_open = collection.state == CollectionState.OPEN
    return CollectionShown(
        id=collection.public_id,
        escrow=escrow_id,
        state=CollectionState(collection.state),
        amount=money(collection.amount_minor, collection.currency),
        received=money(collection.received_minor, collection.received_currency or collection.currency),
        checkout_url=collection.checkout_url or None if is_open else None,
        created_at=collection.created_at,
        state_since=collection.state_since,
    )


@router.post(
    "/{uuid:id}/fund",
    response={201: CollectionShown},
    operation_id="fund_escrow",
    summary="Begin to pay (buyer)",
    description="The escrow is funded when the money has arrived, not before. While a payment is open, it is "
    "answered again. An escrow that is `short` takes what is missing.",
)
@once(moves_money=True)
def fund_escrow(request: HttpRequest, id: UUID, funding: Funding) -> Answer:  # noqa: A002  (the path's own name)
    person = person_of(request)
    currency = escrow_of(person, id).currency
    amount = None if funding.amount is None else funding.amount.in_currency(currency, "amount")
    collection = start_collection(payer=person, escrow_id=id, amount_minor=amount)
    here = request.path.removesuffix("fund") + f"collections/{collection.public_id}"
    return Answer(201, collection_shown(collection, id), location=here, version=collection.version)


@router.get(
    "/{uuid:id}/collections/{uuid:collection_id}",
    response=CollectionShown,
    operation_id="show_collection",
    summary="One of your payments into an escrow",
)
def show_collection(
    request: HttpRequest,
    response: HttpResponse,
    id: UUID,  # noqa: A002
    collection_id: UUID,
) -> CollectionShown:
    escrow = escrow_of(person_of(request), id)
    collection = collection_of(person_of(request), collection_id)
    if collection.escrow_id != escrow.pk:
        raise CollectionNotFound
    response.headers["ETag"] = etag(collection.version)
    return collection_shown(collection, id)
