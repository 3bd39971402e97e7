"""What a provider keeps of a payment is booked once, by itself, and the house bears it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from django.db import Error as DatabaseError
from django.db import transaction

from escrow import ledger
from escrow.escrows.tests.deals import Deal, agreed
from escrow.models import Collection, Contradiction, LedgerTransfer
from escrow.payments.base import CollectionStatus
from escrow.payments.paystack.format import collection_seen
from escrow.payments.states import CollectionState
from escrow.payments.tests.fake import FakeProvider
from escrow.payments.tests.paystack_stand_in import PaystackStandIn
from escrow.payments.tests.test_collections import BANK, begun, opened, run, says, state_of

pytestmark = pytest.mark.django_db

State = CollectionState


@pytest.fixture
def deal(fake: FakeProvider) -> Deal:
    return agreed()


def told(
    fake: FakeProvider,
    collection: Collection,
    fee_minor: int | None,
    status: CollectionStatus = CollectionStatus.RECEIVED,
    **money: Any,
) -> None:
    """The provider says this, with this fee, and a worker asks it."""
    says(fake, collection, status, **money)
    reference = collection.reference
    fake.collections[reference] = replace(fake.collections[reference], fee_minor=fee_minor)
    run()
    collection.refresh_from_db()


def money(deal: Deal, currency: str = "NGN") -> tuple[int, int, int]:
    """What the provider holds, what it kept, and what the escrow holds."""
    clearing = ledger.balance_of(ledger.clearing(BANK, currency))
    kept = ledger.balance_of(ledger.provider_fee(BANK, currency))
    return clearing, kept, ledger.balance_of(ledger.held(deal.escrow.pk, currency))


def fees() -> list[str]:
    return list(LedgerTransfer.objects.filter(kind="provider_fee").values_list("key", flat=True))


def notes(collection: Collection) -> list[tuple[str, str]]:
    rows = Contradiction.objects.filter(collection=collection).order_by("id")
    return list(rows.values_list("booked", "said"))


def test_the_fee_is_a_transfer_of_its_own_and_the_escrow_holds_all(deal: Deal, fake: FakeProvider) -> None:
    collection, due = opened(deal), deal.escrow.due_minor
    told(fake, collection, 1_540)
    assert (collection.state, collection.fee_minor) == (State.RECEIVED, 1_540)
    assert money(deal) == (-due + 1_540, -1_540, due)
    assert fees() == [f"collection:{collection.pk}:{collection.reference}"]
    told(fake, collection, 1_540)  # said again
    assert (money(deal), len(fees()), notes(collection)) == ((-due + 1_540, -1_540, due), 1, [])


@pytest.mark.parametrize("first", [None, 0])
def test_a_fee_that_is_said_later_is_booked_then(deal: Deal, fake: FakeProvider, first: int | None) -> None:
    collection, due = opened(deal), deal.escrow.due_minor
    told(fake, collection, first)
    assert (collection.fee_minor, money(deal), fees()) == (None, (-due, 0, due), [])
    told(fake, collection, 20)
    assert (collection.fee_minor, money(deal)) == (20, (-due + 20, -20, due))


def test_another_fee_is_a_contradiction_and_moves_nothing(deal: Deal, fake: FakeProvider) -> None:
    collection, due = opened(deal), deal.escrow.due_minor
    told(fake, collection, 20)
    told(fake, collection, 30)
    assert (collection.fee_minor, money(deal)) == (20, (-due + 20, -20, due))
    assert notes(collection) == [(f"fee 20 of {due}", "fee 30")]


def test_a_fee_above_the_payment_is_a_contradiction_and_the_payment_is_booked(
    deal: Deal, fake: FakeProvider
) -> None:
    collection, due = opened(deal), deal.escrow.due_minor
    told(fake, collection, due + 1)
    assert (collection.state, collection.fee_minor, money(deal)) == (State.RECEIVED, None, (-due, 0, due))
    assert notes(collection) == [(f"fee 0 of {due}", f"fee {due + 1}")]


def test_the_fee_of_other_money_is_in_its_currency(deal: Deal, fake: FakeProvider) -> None:
    collection = opened(deal)
    told(fake, collection, 7, amount=500, currency="USD")
    assert (money(deal), money(deal, "USD")) == ((0, 0, 0), (-500 + 7, -7, 0))


def test_a_fee_of_what_was_not_received_is_not_booked(deal: Deal, fake: FakeProvider) -> None:
    collection = opened(deal)
    told(fake, collection, 20, CollectionStatus.OPEN, amount=0)
    assert (collection.fee_minor, fees()) == (None, [])


def test_the_fee_stays_when_the_payment_is_taken_back(deal: Deal, fake: FakeProvider) -> None:
    collection = opened(deal)
    told(fake, collection, 20)
    told(fake, collection, 20, CollectionStatus.REVERSED)
    assert (collection.state, collection.fee_minor, money(deal)) == (State.REVERSED, 20, (20, -20, 0))


def test_the_database_keeps_a_fee_and_takes_none_of_what_did_not_come(deal: Deal, fake: FakeProvider) -> None:
    collection = opened(deal)
    rows = Collection.objects.filter(pk=collection.pk)
    with pytest.raises(DatabaseError), transaction.atomic():
        rows.update(fee_minor=1)
    told(fake, collection, 20)
    for fee_minor in (21, None):
        with pytest.raises(DatabaseError), transaction.atomic():
            rows.update(fee_minor=fee_minor)
    collection.refresh_from_db()
    assert collection.fee_minor == 20


@pytest.mark.parametrize(
    ("fees", "expected"), [(3_000, 3_000), (0, 0), (None, None), ("3000", None), (-5, None), (0.5, None)]
)
def test_the_fees_of_paystack_are_whole_sub_units(fees: Any, expected: int | None) -> None:
    data = {"status": "success", "reference": "c-1", "amount": 200_000, "currency": "NGN", "fees": fees}
    assert collection_seen(data).fee_minor == expected


def test_what_paystack_keeps_is_booked_with_the_payment(paystack: PaystackStandIn) -> None:
    deal = agreed()
    collection = begun(deal)
    run()
    paystack.transactions[collection.reference] |= {"status": "success", "fees": 1_540}
    run()
    assert state_of(collection) == State.RECEIVED
    assert collection.fee_minor == 1_540
    assert ledger.balance_of(ledger.provider_fee("paystack", "NGN")) == -1_540
    assert ledger.balance_of(ledger.clearing("paystack", "NGN")) == -deal.escrow.due_minor + 1_540
