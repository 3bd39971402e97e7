"""Serves /api/v1/payouts: asks for a payout, and says what became of it. The worker sends the money."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated
from uuid import UUID

from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from ninja import Query, Router
from pydantic import Field

from accounts.api import person_of
from core.api import keys
from core.api.cursors import next_cursor, read_cursor
from core.api.once import Answer
from core.api.versions import etag
from escrow.api.keys import once
from escrow.api.queries import after
from escrow.api.schemas import CURRENCY, Cursor, Limit, Moment, Money, Strict, money
from escrow.api.terms import Amount
from escrow.models import Payout, Source
from escrow.payments.base import Destination
from escrow.payments.destinations import LONGEST_NAME
from escrow.payments.errors import PayoutKeyUsed, WrongDestination
from escrow.payments.payouts import ENDED_UNPAID, payout_of, request_payout
from escrow.payments.states import PayoutState

router = Router()

CURSORS = "payouts"


class BankAccount(Strict):
    bank_code: str = Field(min_length=2, max_length=16, examples=["058"])
    account_number: str = Field(min_length=5, max_length=50, examples=["0123456789"])
    account_name: str = Field(min_length=1, max_length=LONGEST_NAME, examples=["Ada Obi"])


class PayoutWanted(Strict):
    source: Source = Field(
        Source.PAYABLE, description="Which of your balances: earned as a seller, or came back as a buyer."
    )
    amount: Amount
    destination: BankAccount


class PayoutShown(Strict):
    id: UUID
    state: PayoutState = Field(
        description="`unknown`: the bank has not said whether it paid; it is asked again, and never "
        "paid twice. `failed`, `returned`: the money is back in your balance."
    )
    version: int
    source: Source
    amount: Money
    destination_last: str = Field(description="The last digits of the account.", examples=["6789"])
    created_at: datetime
    state_since: datetime
    finished_at: datetime | None


class PayoutPage(Strict):
    items: list[PayoutShown]
    next: str | None = Field(description="The `cursor` of the next page; null on the last.")


def payout_shown(payout: Payout) -> PayoutShown:
    return PayoutShown(
        id=payout.public_id,
        state=PayoutState(payout.state),
        version=payout.version,
        source=Source(payout.source),
        amount=money(payout.amount_minor, payout.currency),
        destination_last=payout.destination_last,
        created_at=payout.created_at,
        state_since=payout.state_since,
        finished_at=payout.finished_at,
    )


def refuse_if_given_back(kept: keys.KeptAnswer) -> None:
    """Raises PayoutKeyUsed when the payout of the key has ended without paying.

    Its first answer said that the money is on its way; given again, it would promise what will not happen.
    """
    given_back = Payout.objects.filter(user_id=kept.principal_id, key=kept.key, state__in=ENDED_UNPAID)
    if given_back.exists():
        raise PayoutKeyUsed("its payout ended and the money is back.")


@contextmanager
def destination_as_sent() -> Iterator[None]:
    """Names a field of the bank account as the caller wrote it."""
    try:
        yield
    except WrongDestination as error:
        error.fields = {f"destination.{name}": texts for name, texts in error.fields.items()}
        raise


@router.post(
    "",
    response={201: PayoutShown},
    operation_id="request_payout",
    summary="Have money paid out to your bank account",
    description="The amount leaves your balance at once and is held until the bank has said what happened. A "
    "key whose payout failed is answered 409 for ever: use a new one.",
)
@once(moves_money=True, still_true=refuse_if_given_back)
def create_payout(request: HttpRequest, wanted: PayoutWanted) -> Answer:
    with destination_as_sent():
        payout = request_payout(
            user=person_of(request),
            source=wanted.source,
            amount_minor=wanted.amount.amount_minor,
            currency=wanted.amount.currency,
            destination=Destination(**wanted.destination.model_dump()),
            key=keys.key_of(request),
        )
    here = f"{request.path}/{payout.public_id}"
    return Answer(201, payout_shown(payout), location=here, version=payout.version)


@router.get("", response=PayoutPage, operation_id="list_payouts", summary="Your payouts, the newest first")
def list_payouts(
    request: HttpRequest,
    state: PayoutState | None = None,
    currency: Annotated[str | None, Query(pattern=CURRENCY)] = None,
    created_from: Annotated[Moment | None, Query(description="Inclusive.")] = None,
    created_to: Annotated[Moment | None, Query(description="Exclusive.")] = None,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> PayoutPage:
    wanted = Q()
    for lookup, value in (
        ("state", state),
        ("currency", currency),
        ("created_at__gte", created_from),
        ("created_at__lt", created_to),
    ):
        if value is not None:
            wanted &= Q(**{lookup: value})
    mine = Payout.objects.filter(user_id=person_of(request).pk)
    found = list(after(mine, read_cursor(CURSORS, cursor, UUID)).filter(wanted)[: limit + 1])
    return PayoutPage(
        items=[payout_shown(payout) for payout in found[:limit]],
        next=next_cursor(CURSORS, found, limit, lambda payout: payout.public_id),
    )


@router.get("/{uuid:id}", response=PayoutShown, operation_id="show_payout", summary="One of your payouts")
def show_payout(
    request: HttpRequest,
    response: HttpResponse,
    id: UUID,  # noqa: A002  (the path's own name)
) -> PayoutShown:
    payout = payout_of(person_of(request), id)
    response.headers["ETag"] = etag(payout.version)
    return payout_shown(payout)
