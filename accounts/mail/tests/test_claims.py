"""How workers lease rows one at a time (core/leases.py), with mails as the rows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from django.db import connection, transaction
from django.db.models import QuerySet
from django.utils import timezone

from accounts.models import Mail
from core.leases import Claim, claim_next, is_free

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
TICK = timedelta(microseconds=1)
LEASE = timedelta(minutes=2)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is NOW, and stays so."""
    monkeypatch.setattr(timezone, "now", lambda: NOW)


def mail(**fields: Any) -> Mail:
    return Mail.objects.create(
        kind="code", domain="example.com", content=b"?", expires_at=NOW + timedelta(days=1), **fields
    )


def claimed(most: int = 10, among: QuerySet[Mail] | None = None) -> Claim[Mail] | None:
    every = Mail.objects.order_by("-pk")
    return claim_next(every, among=every if among is None else among, lease=LEASE, most_at_once=most)


def test_first_in_the_order_is_leased_and_its_attempt_counted() -> None:
    first, second = mail(attempt_count=5), mail(attempt_count=7)
    claim = claimed()
    assert claim is not None
    assert (claim.row.pk, claim.number, claim.takes_over) == (second.pk, 8, False)
    rows = Mail.objects.order_by("pk").values_list("pk", "attempt_count", "lease_until")
    assert list(rows) == [(first.pk, 5, None), (second.pk, 8, NOW + LEASE)]


def test_nothing_is_leased_when_nothing_is_due() -> None:
    assert claimed() is None
    mail(lease_until=NOW + LEASE)
    assert claimed() is None


@pytest.mark.parametrize(("until", "is_taken_over"), [(NOW - TICK, True), (NOW, False), (NOW + TICK, False)])
def test_lease_that_is_over_is_taken_over(until: datetime, is_taken_over: bool) -> None:
    mail(lease_until=until, attempt_count=1)
    assert Mail.objects.filter(is_free(NOW)).exists() == is_taken_over
    claim = claimed()
    assert (claim is not None) == is_taken_over
    assert claim is None or (claim.number, claim.takes_over) == (2, True)


@pytest.mark.parametrize(
    ("leases", "is_claimed"),
    [
        ([], True),
        ([NOW + TICK], True),
        ([NOW + TICK, NOW + LEASE], False),
        ([NOW + TICK, NOW + LEASE, NOW + LEASE], False),
        ([NOW, NOW + LEASE], True),
    ],
)
def test_no_more_are_leased_than_may_be_at_once(leases: list[datetime], is_claimed: bool) -> None:
    for until in leases:
        mail(lease_until=until)
    waiting = mail()
    claim = claimed(most=2)
    assert (claim.row.pk if claim else None) == (waiting.pk if is_claimed else None)


def test_only_leases_of_the_rows_that_can_have_one_are_counted() -> None:
    old = mail(lease_until=NOW + LEASE)
    mail()
    assert claimed(most=1) is None
    assert claimed(most=1, among=Mail.objects.exclude(pk=old.pk)) is not None


def test_fence_selects_the_row_only_for_the_worker_that_claimed_it_last() -> None:
    mail()
    row = mail()
    slow = claimed()
    assert slow is not None
    assert list(slow.rows()) == [row]
    Mail.objects.filter(pk=row.pk).update(lease_until=NOW - TICK)
    Mail.objects.exclude(pk=row.pk).update(attempt_count=1)
    assert claimed() is not None
    assert list(slow.rows()) == []


@pytest.mark.django_db(transaction=True)
def test_claims_of_one_table_come_one_after_another_and_pass_over_locked_rows() -> None:
    first, second = mail(), mail()
    name = "SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 0))"
    with psycopg.connect(**connection.get_connection_params()) as other:
        other.execute("SELECT FROM accounts_mail WHERE id = %s FOR UPDATE", [second.pk])
        with transaction.atomic():
            connection.cursor().execute("SET LOCAL lock_timeout = '5s'")  # a claim that waits fails
            claim = claimed()
            taken = [
                other.execute(name, [key]).fetchone()
                for key in ("claim:accounts.models.Mail", "claim:accounts.models.User")
            ]
    assert claim is not None
    assert claim.row.pk == first.pk
    assert taken == [(False,), (True,)]
