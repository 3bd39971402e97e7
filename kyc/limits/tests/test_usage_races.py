"""Tests that concurrent uses never exceed a limit, and that different persons do not wait."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from kyc.limits import LimitExceeded, give_back, use
from kyc.limits.tests.amounts import CURRENCY, limit, used
from kyc.models import LimitKind
from kyc.tests.people import make_person
from observability.tests.waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.django_db(transaction=True)
COUNTED = [LimitKind.MONTHLY, LimitKind.DAILY, LimitKind.BALANCE]


def all_at_once(count: int, work: Callable[[int], Any]) -> list[Any]:
    """`work(number)` in `count` threads that start together, each with its own connection."""
    barrier = Barrier(count)

    def run(number: int) -> Any:
        try:
            connection.ensure_connection()
            barrier.wait(timeout=PATIENCE_SECONDS)
            return work(number)
        finally:
            connection.close()

    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(run, range(count)))


def test_of_32_at_once_exactly_ten_use_a_tenth_each() -> None:
    person = make_person()
    limit(1_000)

    def pay(number: int) -> bool:
        kinds = COUNTED if number % 2 else COUNTED[::-1]
        try:
            with transaction.atomic():
                use(person_id=person.pk, currency=CURRENCY, amount_minor=100, kinds=kinds)
        except LimitExceeded:
            return False
        return True

    assert sum(all_at_once(32, pay)) == 10
    assert used(person.pk) == {"daily": 1_000, "monthly": 1_000, "balance": 1_000}


def test_using_and_giving_back_at_once_loses_nothing() -> None:
    person = make_person()
    limit(10_000)
    now = timezone.now()
    with transaction.atomic():
        use(person_id=person.pk, currency=CURRENCY, amount_minor=5_000, kinds=COUNTED, at=now)

    def move(number: int) -> None:
        step = use if number % 2 else give_back
        for _ in range(5):
            with transaction.atomic():
                step(person_id=person.pk, currency=CURRENCY, amount_minor=7, kinds=COUNTED, at=now)

    all_at_once(16, move)
    assert used(person.pk) == {"daily": 5_000, "monthly": 5_000, "balance": 5_000}


def test_different_persons_do_not_wait_for_each_other() -> None:
    first, second = make_person(), make_person()
    limit(1_000)

    def pay(_: int) -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = '5s'")
            use(person_id=second.pk, currency=CURRENCY, amount_minor=100, kinds=COUNTED)

    with transaction.atomic():
        use(person_id=first.pk, currency=CURRENCY, amount_minor=100, kinds=COUNTED)
        all_at_once(1, pay)
        assert used(second.pk) == {"daily": 100, "monthly": 100, "balance": 100}


def test_a_refused_use_holds_no_lock() -> None:
    person = make_person()
    limit(1_000)
    limit(50, LimitKind.MONTHLY)

    def pay(_: int) -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = '5s'")
            use(person_id=person.pk, currency=CURRENCY, amount_minor=50, kinds=COUNTED)

    with transaction.atomic():
        with pytest.raises(LimitExceeded):
            use(person_id=person.pk, currency=CURRENCY, amount_minor=60, kinds=COUNTED)
        all_at_once(1, pay)
    assert used(person.pk) == {"daily": 50, "monthly": 50, "balance": 50}


def test_limits_are_used_inside_a_transaction_only() -> None:
    person = make_person()
    limit(1_000)
    with pytest.raises(RuntimeError, match="inside the transaction"):
        use(person_id=person.pk, currency=CURRENCY, amount_minor=1)
    with pytest.raises(RuntimeError, match="inside the transaction"):
        give_back(person_id=person.pk, currency=CURRENCY, amount_minor=1, at=timezone.now())
    assert used(person.pk) == {}
