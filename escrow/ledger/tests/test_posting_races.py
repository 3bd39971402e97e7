"""Transfers that many sessions post at once: none is lost, none is posted twice, none waits in a circle."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from random import Random

import pytest
from django.db import connection, transaction

from escrow import ledger
from escrow.ledger import Posted, TransferKind, balance_of, clearing, held, payable, platform_fee, post
from escrow.ledger.tests.books import books, end, fund, hold, legs, owe
from escrow.models import LedgerBalance

pytestmark = pytest.mark.django_db(transaction=True)

THREADS = 8
ROUNDS = 25


def in_threads(work: Callable[[int], object]) -> list[object]:
    """Runs `work(0)`, `work(1)`, … at once, each with a connection of its own; returns what they returned."""

    def run(number: int) -> object:
        try:
            return work(number)
        finally:
            connection.close()

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(run, range(THREADS)))


def test_one_key_posted_by_many_sessions_is_one_transfer() -> None:
    def attempt(_: int) -> list[Posted]:
        return [fund(1, 1_000, key=f"k{round_}") for round_ in range(ROUNDS)]

    answers = [answer for answers in in_threads(attempt) for answer in answers]  # type: ignore[attr-defined]  # lists
    assert len({answer.transfer_id for answer in answers}) == ROUNDS
    assert sum(not answer.was_known for answer in answers) == ROUNDS
    assert balance_of(held(1, "NGN")) == ROUNDS * 1_000


def test_accounts_in_any_order_never_deadlock_and_the_books_balance() -> None:
    accounts = [*(held(number, "NGN") for number in range(3)), platform_fee("NGN"), clearing("bank", "NGN")]
    for number in range(3):
        fund(number, 100_000)

    def attempt(number: int) -> None:
        random = Random(number)  # noqa: S311  (a repeatable choice, not a secret)
        for round_ in range(ROUNDS):
            first, second, third = random.sample(accounts, 3)
            three = legs((first, -2), (second, 1), (third, 1))
            post(kind=TransferKind.CORRECTION, key=f"{number}:{round_}", legs=three)

    in_threads(attempt)
    transfers, entries, _ = books()
    assert (transfers, entries) == (3 + THREADS * ROUNDS, 6 + THREADS * ROUNDS * 3)
    assert sum(LedgerBalance.objects.values_list("posted_minor", flat=True)) == 0


def test_money_that_is_there_once_leaves_once() -> None:
    owe(7, 1_000)

    def attempt(number: int) -> bool:
        try:
            with transaction.atomic():
                hold(7, 1_000, key=f"h{number}")
        except ledger.InsufficientFunds:
            return False
        return True

    assert sum(map(bool, in_threads(attempt))) == 1
    assert balance_of(payable(7, "NGN")) == 0


def test_a_hold_that_many_sessions_resolve_is_resolved_once() -> None:
    owe(7, 1_000)
    hold_id = hold(7, 400).transfer_id
    hold(7, 400)

    def attempt(number: int) -> bool:
        kind = TransferKind.PAYOUT_SETTLED if number % 2 else TransferKind.PAYOUT_FAILED
        try:
            with transaction.atomic():
                end(kind, hold_id, key=f"e{number}")
        except ledger.AlreadyResolved:
            return False
        return True

    assert sum(map(bool, in_threads(attempt))) == 1
