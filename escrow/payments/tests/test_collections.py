"""Payments of buyers: begun, handed to a provider, received in full, in part, too much, in other money."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError, transaction
from django.db.models import F
from django.test import Client
from django.utils import timezone

from core.errors import AmaniError
from core.states import By
from escrow import escrows, ledger
from escrow.errors import EscrowNotFound, StepRefused
from escrow.escrows.tests.deals import Deal, agreed, make_party
from escrow.ledger.tests.books import books
from escrow.models import Collection, Contradiction, Escrow, PaymentEvent, ProviderCall
from escrow.payments import collecting, events, received
from escrow.payments.base import Callback, CollectionSeen, CollectionStatus
from escrow.payments.collections import collection_of, start_collection
from escrow.payments.errors import (
    CollectionNotFound,
    CollectionOpen,
    NotAwaitingFunds,
    PaymentsOff,
    WrongAmount,
)
from escrow.payments.states import COLLECTION_TRANSITIONS, CollectionState, CollectionStep, Who
from escrow.payments.tests.fake import FakeProvider
from escrow.payments.tests.paystack_stand_in import PaystackStandIn, signature_of
from escrow.states import State as EscrowState
from kyc.limits.tests.amounts import used
from local.bank.book import COLLECTION
from local.bank.server import Bank

pytestmark = pytest.mark.django_db

State = CollectionState
BANK = "sandbox"


@pytest.fixture
def deal(fake: FakeProvider) -> Deal:
    return agreed()


def begun(deal: Deal, **changes: Any) -> Collection:
    return start_collection(payer=deal.buyer, escrow_id=deal.escrow.public_id, **changes)


def opened(deal: Deal, **changes: Any) -> Collection:
    collection = begun(deal, **changes)
    run()
    assert state_of(collection) == State.OPEN
    return collection


def run() -> None:
    now = timezone.now()
    Collection.objects.filter(next_attempt_at__isnull=False).update(next_attempt_at=now)
    Collection.objects.filter(lease_until__isnull=False).update(lease_until=now - timedelta(hours=1))
    PaymentEvent.objects.filter(next_attempt_at__isnull=False).update(next_attempt_at=now)
    collecting.run_collections()


def state_of(collection: Collection) -> str:
    collection.refresh_from_db()
    return collection.state


def pays(
    fake: FakeProvider, collection: Collection, amount: int | None = None, currency: str = "NGN"
) -> None:
    says(fake, collection, CollectionStatus.RECEIVED, amount, currency)


def says(
    fake: FakeProvider,
    collection: Collection,
    status: CollectionStatus,
    amount: int | None = None,
    currency: str = "NGN",
) -> None:
    """The provider says this from now on, and reports that there is something to ask about."""
    came = collection.amount_minor if amount is None else amount
    reference = collection.reference
    fake.collections[reference] = CollectionSeen(status, reference, came, currency, "fake-id", status.value)
    number = PaymentEvent.objects.count()
    events.store(provider=BANK, callback=Callback(f"evt-{number}", "k", reference), body=b"{}")


def suspense(currency: str = "NGN") -> int:
    return ledger.balance_of(ledger.suspense(BANK, currency))


def noted(collection: Collection) -> list[str]:
    return list(Contradiction.objects.filter(collection=collection).values_list("kind", flat=True))


# --- the beginning ---


def test_a_collection_has_its_reference_before_the_provider_is_asked(deal: Deal, fake: FakeProvider) -> None:
    collection = begun(deal)
    assert (collection.state, collection.amount_minor) == (State.STARTED, deal.escrow.due_minor)
    assert (fake.collections, used(deal.buyer.pk, "NGN")["daily"]) == ({}, deal.escrow.due_minor)
    run()
    assert state_of(collection) == State.OPEN
    assert collection.checkout_url == f"https://pay.example/{collection.reference}"
    assert begun(deal) == collection
    assert collection_of(deal.buyer, collection.public_id) == collection
    with pytest.raises(CollectionNotFound):
        collection_of(deal.seller, collection.public_id)


def test_what_cannot_be_paid_begins_nothing(deal: Deal, fake: FakeProvider, settings: Any) -> None:
    due_minor = deal.escrow.due_minor
    for amount in (0, -1, due_minor + 1):
        with pytest.raises(WrongAmount):
            begun(deal, amount_minor=amount)
    for payer in (deal.seller, make_party()):
        with pytest.raises(EscrowNotFound):
            start_collection(payer=payer, escrow_id=deal.escrow.public_id)
    Escrow.objects.filter(pk=deal.escrow.pk).update(frozen_at=timezone.now())
    with pytest.raises(AmaniError, match="frozen"):
        begun(deal)
    Escrow.objects.filter(pk=deal.escrow.pk).update(frozen_at=None)
    assert (Collection.objects.count(), used(deal.buyer.pk, "NGN")) == (0, {})
    begun(deal, amount_minor=5)
    with pytest.raises(CollectionOpen):
        begun(deal)
    assert Collection.objects.count() == 1


def test_without_a_provider_nothing_is_begun(settings: Any) -> None:
    deal = agreed()
    with pytest.raises(PaymentsOff):
        begun(deal)


# --- what comes ---


def test_the_whole_amount_funds_the_escrow_once(deal: Deal, fake: FakeProvider) -> None:
    collection = opened(deal)
    for _ in range(3):
        pays(fake, collection)
        run()
    deal.escrow.refresh_from_db()
    assert (state_of(collection), deal.escrow.state) == (State.RECEIVED, EscrowState.FUNDED)
    assert (deal.held, suspense(), noted(collection)) == (deal.escrow.due_minor, 0, [])
    assert set(ProviderCall.objects.values_list("operation", flat=True)) == {"collect", "ask_collection"}
    with pytest.raises(NotAwaitingFunds):
        begun(deal)


def test_less_than_due_stays_in_the_escrow_and_the_rest_can_be_paid(deal: Deal, fake: FakeProvider) -> None:
    due_minor = deal.escrow.due_minor
    collection = opened(deal)
    pays(fake, collection, due_minor - 700)
    run()
    deal.escrow.refresh_from_db()
    assert (deal.escrow.state, deal.escrow.funded_minor) == (EscrowState.AWAITING_FUNDS, due_minor - 700)
    assert (deal.held, noted(collection)) == (due_minor - 700, ["other_amount"])
    assert used(deal.buyer.pk, "NGN")["daily"] == due_minor - 700
    rest = opened(deal)
    assert rest.amount_minor == 700
    pays(fake, rest)
    run()
    deal.escrow.refresh_from_db()
    assert (deal.escrow.state, deal.held) == (EscrowState.FUNDED, due_minor)


def test_more_than_due_goes_to_suspense(deal: Deal, fake: FakeProvider) -> None:
    collection = opened(deal)
    pays(fake, collection, deal.escrow.due_minor + 33)
    run()
    deal.escrow.refresh_from_db()
    assert (deal.escrow.state, deal.held) == (EscrowState.FUNDED, deal.escrow.due_minor)
    assert (suspense(), noted(collection)) == (33, ["other_amount"])


def test_another_currency_goes_to_suspense_and_the_escrow_still_waits(deal: Deal, fake: FakeProvider) -> None:
    collection = opened(deal)
    pays(fake, collection, currency="USD")
    run()
    deal.escrow.refresh_from_db()
    assert (state_of(collection), deal.escrow.state) == (State.RECEIVED, EscrowState.AWAITING_FUNDS)
    assert (deal.held, suspense("USD"), suspense()) == (0, deal.escrow.due_minor, 0)
    assert (noted(collection), used(deal.buyer.pk, "NGN")["daily"]) == (["other_currency"], 0)
    says(fake, collection, CollectionStatus.REVERSED, currency="USD")
    run()
    assert (state_of(collection), suspense("USD")) == (State.REVERSED, 0)


@pytest.mark.parametrize(
    ("amount", "currency"), [(-1, "NGN"), (0, "NGN"), (10**16, "NGN"), (5, "XXQ"), (5, "")]
)
def test_what_cannot_be_read_is_not_booked(
    deal: Deal, fake: FakeProvider, amount: int, currency: str
) -> None:
    collection = opened(deal)
    before = books()
    pays(fake, collection, amount, currency)
    run()
    assert (state_of(collection), books(), len(noted(collection))) == (State.OPEN, before, 1)


def test_an_end_without_money_gives_the_limit_back_and_late_money_is_still_taken(
    deal: Deal, fake: FakeProvider
) -> None:
    collection = opened(deal)
    says(fake, collection, CollectionStatus.UNPAID)
    run()
    assert (state_of(collection), used(deal.buyer.pk, "NGN")["daily"]) == (State.UNPAID, 0)
    pays(fake, collection)
    run()
    deal.escrow.refresh_from_db()
    assert (state_of(collection), deal.escrow.state) == (State.RECEIVED, EscrowState.FUNDED)
    assert used(deal.buyer.pk, "NGN")["daily"] == deal.escrow.due_minor


def test_the_time_to_pay_ends(deal: Deal, fake: FakeProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    collection = opened(deal)
    run()
    assert state_of(collection) == State.OPEN
    monkeypatch.setattr(received, "LASTS", timedelta(0))
    run()
    assert state_of(collection) == State.UNPAID
    assert begun(deal) != collection


def test_a_payment_taken_back_freezes_the_escrow_and_what_it_holds_goes_back(
    deal: Deal, fake: FakeProvider
) -> None:
    collection = opened(deal)
    pays(fake, collection, deal.escrow.due_minor + 33)
    run()
    for _ in range(2):
        says(fake, collection, CollectionStatus.REVERSED, deal.escrow.due_minor + 33)
        run()
    deal.escrow.refresh_from_db()
    assert (state_of(collection), deal.held, suspense()) == (State.REVERSED, 0, 0)
    assert deal.escrow.frozen_at is not None
    assert ledger.balance_of(ledger.clearing(BANK, "NGN")) == 0
    assert noted(collection).count("taken_back") == 1


def test_what_was_released_before_is_a_loss_of_the_house(deal: Deal, fake: FakeProvider) -> None:
    collection = opened(deal)
    pays(fake, collection)
    run()
    escrows.approve(actor=deal.buyer, public_id=deal.first.public_id)
    earned, held = deal.sellers, deal.held
    assert earned > 0
    says(fake, collection, CollectionStatus.REVERSED)
    run()
    assert (deal.sellers, deal.held) == (earned, 0)
    assert ledger.balance_of(ledger.chargeback_loss("NGN")) == held - deal.escrow.due_minor
    assert ledger.balance_of(ledger.clearing(BANK, "NGN")) == 0


def test_the_buyer_pays_in_what_was_taken_back_and_no_more(deal: Deal, fake: FakeProvider) -> None:
    first = opened(deal, amount_minor=1_000)
    pays(fake, first)
    run()
    second = opened(deal)
    pays(fake, second)
    run()
    with pytest.raises(NotAwaitingFunds):
        begun(deal)
    says(fake, first, CollectionStatus.REVERSED)
    run()
    with pytest.raises(WrongAmount):
        begun(deal, amount_minor=1_001)
    third = opened(deal)
    assert third.amount_minor == 1_000
    assert used(deal.buyer.pk, "NGN")["daily"] == deal.escrow.due_minor
    pays(fake, third)
    run()
    deal.escrow.refresh_from_db()
    assert (deal.escrow.short_minor, deal.held) == (0, deal.escrow.due_minor)
    with pytest.raises(NotAwaitingFunds):
        begun(deal)


@pytest.mark.parametrize(
    ("then", "kind"),
    [
        ((CollectionStatus.UNPAID, None), "after_the_end"),
        ((CollectionStatus.OPEN, None), "after_the_end"),
        ((CollectionStatus.RECEIVED, 7), "other_amount"),
    ],
)
def test_what_contradicts_a_received_payment_is_noted_and_moves_nothing(
    deal: Deal, fake: FakeProvider, then: tuple[CollectionStatus, int | None], kind: str
) -> None:
    collection = opened(deal)
    pays(fake, collection)
    run()
    before = books()
    for _ in range(2):
        says(fake, collection, *then)
        run()
    assert (state_of(collection), books(), noted(collection)) == (State.RECEIVED, before, [kind])


# --- providers that do not answer ---


def test_a_provider_without_an_answer_gets_the_same_reference_again(deal: Deal, fake: FakeProvider) -> None:
    collection = begun(deal)
    fake.paying.extend(["later", "lost", "done_without_answer"])
    fake.asking.extend(["no_answer"])
    for _ in range(3):
        run()
        assert state_of(collection) == State.STARTED
    run()
    assert (state_of(collection), len(fake.collections)) == (State.OPEN, 1)


def test_a_provider_that_refuses_ends_the_collection(deal: Deal, fake: FakeProvider) -> None:
    collection = begun(deal)
    fake.paying.append("refused")
    run()
    assert (state_of(collection), used(deal.buyer.pk, "NGN")["daily"]) == (State.UNPAID, 0)


def test_an_unknown_status_and_another_reference_move_nothing(deal: Deal, fake: FakeProvider) -> None:
    collection = opened(deal)
    before = books()
    says(fake, collection, CollectionStatus.UNKNOWN)
    run()
    other = CollectionSeen(CollectionStatus.RECEIVED, "another", deal.escrow.due_minor, "NGN")
    fake.collections[collection.reference] = other
    run()
    assert (state_of(collection), books(), noted(collection)) == (State.OPEN, before, ["other_reference"])


# --- the table ---


@pytest.mark.parametrize("state", [State.STARTED, State.OPEN, State.UNPAID, State.RECEIVED, State.REVERSED])
def test_only_the_steps_of_the_table_change_a_collection(
    deal: Deal, fake: FakeProvider, state: CollectionState
) -> None:
    collection = begun(deal)
    if state != State.STARTED:
        run()
    if state == State.UNPAID:
        says(fake, collection, CollectionStatus.UNPAID)
        run()
    if state in (State.RECEIVED, State.REVERSED):
        pays(fake, collection)
        run()
    if state == State.REVERSED:
        says(fake, collection, CollectionStatus.REVERSED)
        run()
    assert state_of(collection) == state
    rows = [row for row in COLLECTION_TRANSITIONS.rows if row.source == state]
    allowed = {(row.event, who) for row in rows for who in row.who}
    for step in CollectionStep:
        for who in Who:
            if (step, who) not in allowed:
                with pytest.raises(StepRefused), transaction.atomic():
                    received.change(collection, step, By(who))
    for target in set(State) - {row.target for row in rows} - {state}:
        came = {"received_minor": F("amount_minor"), "finished_at": timezone.now(), "next_attempt_at": None}
        with pytest.raises(DatabaseError), transaction.atomic():
            Collection.objects.filter(pk=collection.pk).update(state=target, **came)
    assert state_of(collection) == state


# --- whole ways, over real HTTP ---


def test_a_buyer_pays_at_the_sandbox_bank(bank: Bank) -> None:
    deal = agreed()
    collection = opened(deal)
    assert collection.checkout_url.endswith(f"/pay/{collection.reference}")
    entry = bank.book.find(COLLECTION, collection.reference)
    assert entry is not None
    assert entry.facts["title"] == "A website"
    bank.book.act(entry, "pay", amount_minor=deal.escrow.due_minor)
    run()
    deal.escrow.refresh_from_db()
    assert deal.escrow.state == EscrowState.FUNDED


def test_a_buyer_pays_at_paystack(client: Client, paystack: PaystackStandIn) -> None:
    deal = agreed()
    collection = opened(deal)
    transfer = paystack.transactions[collection.reference]
    assert (transfer["amount"], transfer["currency"]) == (deal.escrow.due_minor, "NGN")
    transfer["status"] = "success"
    body = paystack.webhook("charge.success", transfer)
    address = "/api/v1/payments/webhooks/paystack"
    headers = {"x-paystack-signature": signature_of(body)}
    answer = client.post(address, data=body, content_type="application/json", headers=headers)
    assert answer.json() == {"stored": True}
    run()
    deal.escrow.refresh_from_db()
    assert deal.escrow.state == EscrowState.FUNDED
