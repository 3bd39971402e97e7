"""Many payouts with every kind of fault in any order: at most one transfer each, and no money made or lost.

AMANI_PAYOUTS=10000 makes the storm as long as the promise. Each step commits: PostgreSQL removes no
version of a row that the transaction itself has replaced, so in one transaction each payout would take
longer than the last.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from core.registry import Registry
from escrow import ledger
from escrow.ledger import InsufficientFunds
from escrow.models import Payout
from escrow.payments import registry, work
from escrow.payments.base import PayoutStatus
from escrow.payments.errors import PayoutKeyUsed
from escrow.payments.states import PAYOUT_ENDS, PayoutState
from escrow.payments.tests.fake import PAYING, FakeProvider
from escrow.payments.tests.money import PROVIDER, asked, make_due, money_of, rich, run
from kyc.limits.tests.amounts import CURRENCY

PAYOUTS = int(os.environ.get("AMANI_PAYOUTS", "40"))
AT_ONCE = 200  # payouts that are open at a time
MOST_ROUNDS = 40
ENDING = (PayoutStatus.SETTLED, PayoutStatus.FAILED, PayoutStatus.REVERSED)


@pytest.mark.django_db(transaction=True)
def test_payouts_with_every_fault_are_paid_at_most_once_and_end_truly(
    fake: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A round below is a whole run, also where cores are busy and it takes longer than a task may.
    monkeypatch.setattr(work, "LONGEST_RUN_SECONDS", 3600.0)
    chance = random.Random(14)  # noqa: S311 (repeatable chance, not a secret)
    user = rich(PAYOUTS * 10)
    begun = 0
    while begun < PAYOUTS:
        more = min(AT_ONCE, PAYOUTS - begun)
        payouts = [asked(user, amount_minor=10) for _ in range(more)]
        begun += more
        end_all(fake, payouts, chance)
    assert fake.paid.total() == len(fake.paid)
    assert set(fake.sent) == set(Payout.objects.values_list("reference", flat=True))
    settled = {reference for reference, each in fake.transfers.items() if each.status == ENDING[0]}
    booked = Payout.objects.filter(state=PayoutState.SETTLED).values_list("reference", flat=True)
    assert set(booked) == settled
    money = money_of(user)
    assert (money.transit, money.out, sum(money)) == (0, len(settled) * 10, PAYOUTS * 10)


def end_all(fake: FakeProvider, payouts: list[Payout], chance: random.Random) -> None:
    """Runs workers with faults, and has transfers end, until no payout is open."""
    references = {payout.reference for payout in payouts}
    for _ in range(MOST_ROUNDS):
        open_payouts = Payout.objects.exclude(state__in=PAYOUT_ENDS).count()
        if not open_payouts:
            return
        fake.paying.extend(chance.choices(PAYING, weights=(4, 1, 1, 3, 3), k=open_payouts))
        fake.asking.extend(chance.choices(("ok", "no_answer"), weights=(3, 1), k=open_payouts))
        run()
        fake.paying.clear()
        fake.asking.clear()
        for reference in references & fake.transfers.keys():
            transfer = fake.transfers[reference]
            if transfer.status == PayoutStatus.SENT and chance.random() < 0.5:
                transfer.status = chance.choice(ENDING)
    raise AssertionError("Some payout never ended.")


# --- debit, send, refusal, refund and the same key, in any order ---


class KeyMachine(RuleBasedStateMachine):
    """One user, three keys. Money out is never more than was debited; a refunded key is refused for ever."""

    keys = st.sampled_from(["a", "b", "c"])

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.fake = FakeProvider()
        self.patch.setattr(registry, "PROVIDERS", Registry("payment provider", (self.fake,)))
        self.patch.setattr("core.doorbell.Doorbell.ring", lambda self: None)
        self.example = transaction.atomic()  # the payouts of one example are not there in the next
        self.example.__enter__()
        self.user = rich(100)
        self.refunded: set[str] = set()

    def teardown(self) -> None:
        transaction.set_rollback(True)
        self.example.__exit__(None, None, None)
        self.patch.undo()

    @rule(key=keys)
    def debit(self, key: str) -> None:
        try:
            payout = asked(self.user, amount_minor=40, key=key)
        except PayoutKeyUsed:
            assert key in self.refunded
        except InsufficientFunds:
            assert money_of(self.user).payable < 40
        else:
            assert key not in self.refunded
            assert payout.key == key

    @rule(what=st.sampled_from(PAYING))
    def send(self, what: str) -> None:
        self.fake.paying.append(what)
        run()
        self.fake.paying.clear()
        self.note_refunds()

    @precondition(lambda self: self.fake.transfers)
    @rule(number=st.integers(0, 2), status=st.sampled_from(ENDING))
    def end(self, number: int, status: PayoutStatus) -> None:
        transfers = list(self.fake.transfers.values())
        transfer = transfers[number % len(transfers)]
        if transfer.status == PayoutStatus.SENT:
            transfer.status = status

    @rule()
    def ask(self) -> None:
        run()
        self.note_refunds()

    def note_refunds(self) -> None:
        failed = Payout.objects.filter(user=self.user, state=PayoutState.FAILED)
        self.refunded |= set(failed.values_list("key", flat=True))

    @invariant()
    def money_out_is_never_more_than_debited(self) -> None:
        money = money_of(self.user)
        assert sum(money) == 100
        left = sum(
            transfer.amount_minor
            for transfer in self.fake.transfers.values()
            if transfer.status in (PayoutStatus.SENT, PayoutStatus.SETTLED)
        )
        assert left <= 100 - money.payable
        assert all(times == 1 for times in self.fake.paid.values())


class TestKeys(TestCase):
    def test_no_order_of_debits_faults_and_refunds_pays_more_than_was_debited(self) -> None:
        few = settings(
            max_examples=4, stateful_step_count=10, deadline=None, suppress_health_check=list(HealthCheck)
        )
        run_state_machine_as_test(KeyMachine, settings=few)


# --- at the same time ---


@pytest.mark.django_db(transaction=True)
def test_one_key_sent_by_32_threads_is_one_payout_and_one_transfer(fake: FakeProvider) -> None:
    user = rich(10_000)

    def in_thread(work_of_thread: Callable[[], object]) -> object:
        try:
            return work_of_thread()
        finally:
            connection.close()

    def ask() -> int:
        return asked(user, key="one").pk

    with ThreadPoolExecutor(32) as threads:
        answers = list(threads.map(lambda _: in_thread(ask), range(32)))
    assert len(set(answers)) == 1
    assert money_of(user)[:2] == (6_000, 4_000)
    make_due()
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: in_thread(work.run_payouts), range(4)))
    assert (fake.paid.total(), len(fake.sent)) == (1, 1)
    assert ledger.balance_of(ledger.clearing(PROVIDER, CURRENCY)) == 0
