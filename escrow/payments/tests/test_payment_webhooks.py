"""Webhooks of payment providers: stored first, then the provider is asked; a body decides nothing.

AMANI_WEBHOOKS=10000 makes the storm as long as the promise.
"""

from __future__ import annotations

import json
import os
import random
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from core.encryption import decrypt
from escrow import ledger
from escrow.ledger.tests.books import books
from escrow.models import PaymentEvent, Payout
from escrow.payments import events
from escrow.payments.base import PayoutStatus
from escrow.payments.errors import CannotReprocess, MayNotReprocess, ReprocessingNeedsReason
from escrow.payments.states import PayoutState
from escrow.payments.tests.fake import FakeProvider
from escrow.payments.tests.money import Money, asked, contradictions, make_user, money_of, rich, run, state_of
from escrow.payments.tests.paystack_stand_in import PaystackStandIn, signature_of
from escrow.payments.tests.test_sandbox import signed
from kyc.limits.tests.amounts import limit
from kyc.tests.people import make_approver
from local.bank.book import PAYOUT
from local.bank.server import Bank
from local.bank.webhooks import body_about
from observability.tests.samples import Change

pytestmark = pytest.mark.django_db

WEBHOOKS = int(os.environ.get("AMANI_WEBHOOKS", "150"))
ADDRESS = "/api/v1/payments/webhooks/{}"
State = PaymentEvent.State


def post(client: Client, body: bytes, headers: dict[str, str], provider: str = "sandbox") -> Any:
    return client.post(ADDRESS.format(provider), data=body, content_type="application/json", headers=headers)


def about(payout: Payout, **changes: Any) -> bytes:
    return json.dumps(
        {"id": "evt-1", "kind": "payout.done", "reference": payout.reference} | changes
    ).encode()


GENUINE = {"X-Fake": "genuine"}


def sent(fake: FakeProvider) -> Payout:
    payout = asked(rich())
    run()
    assert state_of(payout) == PayoutState.SENT
    return payout


def test_a_webhook_is_stored_and_answered_and_the_worker_asks(
    client: Client, fake: FakeProvider, rings: list[str], django_capture_on_commit_callbacks: Any
) -> None:
    payout = sent(fake)
    fake.transfers[payout.reference].status = PayoutStatus.SETTLED
    body = about(payout)
    stored = Change("amani_payment_events_total", provider="sandbox", result="stored")
    done = Change("amani_payment_events_total", provider="sandbox", result="done")
    with django_capture_on_commit_callbacks(execute=True):
        answer = post(client, body, GENUINE)
    assert (answer.status_code, answer.json()) == (200, {"stored": True})
    event = PaymentEvent.objects.get()
    assert (event.state, event.payout, event.kind) == (State.PENDING, payout, "payout.done")
    assert decrypt(bytes(event.body)) == body
    assert (rings[-1], stored(), state_of(payout)) == ("escrow.tasks.run_payouts", 1, PayoutState.SENT)
    with django_capture_on_commit_callbacks(execute=True):
        run()
    event.refresh_from_db()
    assert (event.state, done(), state_of(payout)) == (State.DONE, 1, PayoutState.SETTLED)


def test_the_same_webhook_ten_times_is_stored_once(client: Client, fake: FakeProvider) -> None:
    payout = sent(fake)
    answers = [post(client, about(payout), GENUINE).json()["stored"] for _ in range(10)]
    assert answers == [True] + [False] * 9
    run()
    assert (PaymentEvent.objects.count(), len(fake.sent)) == (1, 1)


def test_without_an_answer_the_webhook_waits_for_the_next_question(
    client: Client, fake: FakeProvider
) -> None:
    payout = sent(fake)
    fake.transfers[payout.reference].status = PayoutStatus.SETTLED
    run()
    fake.transfers[payout.reference].status = PayoutStatus.REVERSED
    post(client, about(payout), GENUINE)
    fake.asking.append("no_answer")
    run()
    event = PaymentEvent.objects.get()
    assert (event.state, event.attempt_count, event.reason) == (State.PENDING, 1, "no answer")
    run()
    assert state_of(payout) == PayoutState.RETURNED


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        (b'{"id": "1"}', {}, 401, "bad_signature"),
        (b"[]", GENUINE, 400, "malformed"),
        (b"x" * (512 * 1024 + 1), GENUINE, 413, "too_large"),
    ],
)
def test_what_is_no_webhook_is_refused(
    client: Client, fake: FakeProvider, body: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    answer = post(client, body, headers)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert not PaymentEvent.objects.exclude(state=State.REFUSED).exists()


def test_forged_webhooks_are_counted_and_only_some_are_stored(client: Client, fake: FakeProvider) -> None:
    counted = Change("amani_payment_events_total", provider="sandbox", result="bad_signature")
    for number in range(25):
        post(client, b"%d" % number, {})
    assert (counted(), PaymentEvent.objects.filter(state=State.REFUSED).count()) == (25, 20)


def test_other_methods_and_providers_are_refused(client: Client, fake: FakeProvider) -> None:
    assert client.get(ADDRESS.format("sandbox")).status_code == 405
    assert client.post(ADDRESS.format("paystack")).status_code == 404
    assert client.post(ADDRESS.format("another")).status_code == 404


def test_a_webhook_about_nothing_of_ours_is_kept(client: Client, fake: FakeProvider) -> None:
    unmatched = Change("amani_payment_events_total", provider="sandbox", result="unmatched")
    body = json.dumps({"id": "evt", "kind": "k", "reference": "stranger"}).encode()
    assert post(client, body, GENUINE).status_code == 200
    event = PaymentEvent.objects.get()
    assert (event.state, event.payout, event.next_attempt_at) == (State.UNMATCHED, None, None)
    run()
    assert unmatched() == 0  # counted on commit, and this test never commits


def test_a_webhook_is_processed_again_by_an_approver_with_a_reason(
    client: Client, fake: FakeProvider
) -> None:
    payout = sent(fake)
    post(client, about(payout), GENUINE)
    post(client, b"forged", {})
    run()
    event, forged = (PaymentEvent.objects.get(signature_ok=ok) for ok in (True, False))
    approver = make_approver()
    with pytest.raises(MayNotReprocess):
        events.reprocess(event_id=event.pk, actor=make_user(), reason="why")
    with pytest.raises(ReprocessingNeedsReason):
        events.reprocess(event_id=event.pk, actor=approver, reason=" ")
    with pytest.raises(CannotReprocess):
        events.reprocess(event_id=forged.pk, actor=approver, reason="why")
    fake.transfers[payout.reference].status = PayoutStatus.SETTLED
    again = events.reprocess(event_id=event.pk, actor=approver, reason="It was lost.")
    assert (again.state, again.asked_again_because) == (State.PENDING, "It was lost.")
    run()
    assert state_of(payout) == PayoutState.SETTLED


def test_old_webhooks_are_deleted_and_pending_ones_kept(client: Client, fake: FakeProvider) -> None:
    payout = sent(fake)
    for number in range(3):
        events.store_refused(provider="sandbox", body=b"%d" % number, result="malformed", reason="")
    old = timezone.now() - timedelta(days=401)
    for number, state in enumerate((State.PENDING, State.DONE)):
        PaymentEvent.objects.create(
            provider="sandbox",
            event_id=f"old-{number}",
            body=b"",
            signature_ok=True,
            state=state,
            payout=payout,
            received_at=old,
        )
    assert events.forget_old() == 1
    assert set(PaymentEvent.objects.values_list("state", flat=True)) == {State.REFUSED, State.PENDING}


# --- mutated webhooks ---

MUTATIONS = (
    "as_it_is",
    "doubled",
    "other_amount",
    "other_currency",
    "other_reference",
    "forged",
    "cut",
    "other_kind",
)


def mutated(
    body: bytes, what: str, chance: random.Random, strangers: list[str]
) -> tuple[bytes, dict[str, str]]:
    content = json.loads(body)
    match what:
        case "other_amount":
            content["amount_minor"] = chance.choice([0, -1, 1, 10**18, 1.5, "4000", None])
        case "other_currency":
            content["currency"] = chance.choice(["USD", "", None, "🪙"])
        case "other_reference":
            content["reference"] = chance.choice([*strangers, "", "stranger", "\0", "' OR 1=1"])
        case "other_kind":
            content["kind"] = chance.choice(["payout.settled", "payout.failed", "charge.success", "🦆"])
    if what != "doubled":
        content["id"] = f"evt-{chance.random()}"
    raw = json.dumps(content).encode()
    cut = raw[: chance.randrange(1, len(raw))] if what == "cut" else raw
    return cut, ({} if what == "forged" else GENUINE)


def test_mutated_webhooks_post_nothing_that_the_provider_does_not_say(
    client: Client, fake: FakeProvider
) -> None:
    chance = random.Random(14)  # noqa: S311 (repeatable chance, not a secret)
    user = rich(100_000)
    payouts = [asked(user) for _ in range(5)]
    run()
    before = books()
    references = [payout.reference for payout in payouts]
    bodies = [about(payout, amount_minor=4_000, currency=payout.currency) for payout in payouts]
    for number in range(WEBHOOKS):
        raw, headers = mutated(chance.choice(bodies), chance.choice(MUTATIONS), chance, references)
        assert post(client, raw, headers).status_code in (200, 400, 401)
        if number % 50 == 0:  # the webhooks of a while in one go, in any order
            run()
    run()
    assert books() == before
    assert money_of(user) == Money(80_000, 20_000, 0)
    assert {payout.state for payout in Payout.objects.all()} == {PayoutState.SENT}
    assert len(fake.sent) == 5
    fake.transfers[references[0]].status = PayoutStatus.SETTLED
    fake.transfers[references[1]].status = PayoutStatus.FAILED
    run()
    assert money_of(user) == Money(84_000, 12_000, 4_000)
    assert [contradictions(payout) for payout in payouts] == [[]] * 5


# --- whole ways, over real HTTP ---


def test_paystack_settles_and_then_reverses(client: Client, paystack: PaystackStandIn) -> None:
    user = rich_in_naira()
    payout = asked(user, currency="NGN")
    run()
    assert (state_of(payout), payout.provider_reference) == (PayoutState.SENT, "TRF_0000000000000001")
    for status, state in (("success", PayoutState.SETTLED), ("reversed", PayoutState.RETURNED)):
        paystack.transfers[payout.reference]["status"] = status
        body = paystack.webhook(f"transfer.{status}", paystack.transfers[payout.reference])
        answer = post(client, body, {"x-paystack-signature": signature_of(body)}, "paystack")
        assert answer.json() == {"stored": True}
        run()
        assert state_of(payout) == state
    assert len(paystack.transfers) == 1


def rich_in_naira() -> Any:
    """A user with naira and room for them."""
    user = rich()
    limit(10**9, currency="NGN")
    legs = (
        ledger.Leg(ledger.clearing("bank", "NGN"), -9_000),
        ledger.Leg(ledger.payable(user.pk, "NGN"), 9_000),
    )
    ledger.post(kind=ledger.TransferKind.CORRECTION, key=f"naira:{user.pk}", legs=legs)
    return user


def test_a_person_at_the_bank_confirms_and_amani_is_told(client: Client, bank: Bank) -> None:
    payout = asked(rich_in_naira(), currency="NGN")
    bank.fault = "empty"
    run()
    assert state_of(payout) == PayoutState.UNKNOWN
    run()
    assert state_of(payout) == PayoutState.SENT
    entry = bank.book.find(PAYOUT, payout.reference)
    assert entry is not None
    bank.book.act(entry, "confirm")
    body = body_about(entry)
    assert post(client, body, signed(body)).json() == {"stored": True}
    run()
    assert state_of(payout) == PayoutState.SETTLED
    assert entry.facts["webhook_url"].endswith("/api/v1/payments/webhooks/sandbox")
