"""A settled payout is asked about some times more: money that comes back is booked without a webhook."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import F
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from escrow.models import Payout, ProviderCall
from escrow.payments import record, settled, work
from escrow.payments.base import PayoutStatus
from escrow.payments.settled import run_settled
from escrow.payments.states import PayoutState
from escrow.payments.tests.fake import FakeProvider
from escrow.payments.tests.money import Money, asked, contradictions, money_of, rich, run, state_of
from local.bank.book import PAYOUT
from local.bank.server import Bank

pytestmark = pytest.mark.django_db

State = PayoutState
HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def hours(settings: Any) -> None:
    settings.PAYOUT_RECHECK_HOURS = [1.0, 24.0, 72.0]


def settled_one(fake: FakeProvider, amount_minor: int = 4_000) -> Payout:
    fake.first_status = PayoutStatus.SETTLED
    payout = asked(rich(), amount_minor=amount_minor)
    work.run_payouts()
    assert state_of(payout) == State.SETTLED
    return payout


def pass_hours(count: float) -> None:
    """Moves what was settled, and the next question about it, into the past."""
    gone = timedelta(hours=count)
    Payout.objects.update(state_since=F("state_since") - gone, recheck_at=F("recheck_at") - gone)


def looked(payout: Payout) -> int:
    return ProviderCall.objects.filter(payout=payout, operation="ask_payout").count()


def test_money_that_comes_back_without_a_webhook_is_booked(bank: Bank) -> None:
    user = rich()
    payout = asked(user)
    run()
    known = bank.book.find(PAYOUT, payout.reference)
    assert known is not None
    bank.book.act(known, "confirm")
    run()
    assert (state_of(payout), money_of(user)) == (State.SETTLED, Money(6_000, 0, 4_000))
    bank.book.act(known, "reverse")
    assert (run_settled(), state_of(payout)) == (0, State.SETTLED)  # nothing is due yet
    pass_hours(1)
    assert (run_settled(), state_of(payout)) == (1, State.RETURNED)
    assert money_of(user) == Money(10_000, 0, 0)
    assert (payout.recheck_at, payout.lease_until, contradictions(payout)) == (None, None, [])
    assert [event.event for event in payout.events.order_by("id")][-1] == "return"
    pass_hours(100)
    assert run_settled() == 0


def test_it_is_asked_about_at_each_time_and_then_no_more(fake: FakeProvider) -> None:
    payout = settled_one(fake)
    plan = []
    while payout.recheck_at is not None:
        plan.append(round((payout.recheck_at - payout.state_since) / HOUR))
        pass_hours((payout.recheck_at - timezone.now()) / HOUR)
        assert run_settled() == 1
        assert state_of(payout) == State.SETTLED
    assert (plan, looked(payout)) == ([1, 24, 72], 3)
    assert fake.sent == [payout.reference]


def test_times_that_were_missed_are_one_question(fake: FakeProvider) -> None:
    payout = settled_one(fake)
    pass_hours(30)
    assert (run_settled(), run_settled()) == (1, 0)
    payout.refresh_from_db()
    assert payout.recheck_at == payout.state_since + 72 * HOUR


def test_without_an_answer_it_is_asked_again_soon(fake: FakeProvider) -> None:
    payout = settled_one(fake)
    pass_hours(1)
    fake.asking.append("no_answer")
    assert run_settled() == 1
    assert state_of(payout) == State.SETTLED
    assert payout.recheck_at is not None
    assert timezone.now() < payout.recheck_at <= timezone.now() + HOUR / 2
    pass_hours(0.5)
    assert run_settled() == 1
    payout.refresh_from_db()
    assert payout.recheck_at == payout.state_since + 24 * HOUR


@pytest.mark.parametrize("status", [PayoutStatus.FAILED, PayoutStatus.SENT, None])
def test_another_answer_is_a_contradiction_and_moves_nothing(
    fake: FakeProvider, status: PayoutStatus | None
) -> None:
    payout = settled_one(fake)
    before = money_of(payout.user)
    pass_hours(1)
    if status is None:
        fake.transfers.clear()
    else:
        fake.transfers[payout.reference].status = status
    assert run_settled() == 1
    assert (state_of(payout), money_of(payout.user)) == (State.SETTLED, before)
    assert len(contradictions(payout)) == 1
    assert payout.recheck_at == payout.state_since + 24 * HOUR
    assert fake.sent == [payout.reference]


def test_a_run_asks_about_so_many_the_longest_due_first(
    fake: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settled, "MOST_A_RUN", 2)
    payouts = [settled_one(fake, 100) for _ in range(3)]
    Payout.objects.filter(pk=payouts[2].pk).update(recheck_at=F("recheck_at") - HOUR / 2)
    pass_hours(2)
    assert run_settled() == 2
    assert [looked(payout) for payout in payouts] == [1, 0, 1]
    assert run_settled() == 1


def test_what_has_not_ended_comes_first(fake: FakeProvider) -> None:
    payout = settled_one(fake)
    others = [asked(rich(), amount_minor=100) for _ in range(2)]
    pass_hours(1)
    busy = Payout.objects.filter(pk__in=[other.pk for other in others])
    busy.update(lease_until=timezone.now() + HOUR)
    assert (run_settled(), looked(payout)) == (0, 0)
    busy.update(lease_until=None)
    assert (run_settled(), looked(payout)) == (1, 1)


def test_one_that_cannot_be_recorded_does_not_stop_the_others(
    fake: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken, sound = settled_one(fake), settled_one(fake)
    pass_hours(1)
    fake.transfers[broken.reference].status = PayoutStatus.REVERSED
    monkeypatch.setitem(record.ENDS, PayoutStatus.REVERSED, {"settled": record.RETURN._replace(book=breaks)})
    assert run_settled() == 2
    assert (state_of(broken), money_of(broken.user).transit) == (State.SETTLED, 0)
    assert broken.recheck_at is not None
    assert broken.recheck_at > timezone.now()
    sound.refresh_from_db()
    assert sound.recheck_at == sound.state_since + 24 * HOUR


def breaks(payout: Payout) -> None:
    raise ZeroDivisionError


def test_it_can_be_switched_off(fake: FakeProvider, settings: Any) -> None:
    settings.PAYOUT_RECHECK_HOURS = []
    assert settled_one(fake).recheck_at is None


def test_the_database_lets_only_a_settled_payout_wait_for_a_question(fake: FakeProvider) -> None:
    payout = asked(rich())
    with pytest.raises(IntegrityError), transaction.atomic():
        Payout.objects.filter(pk=payout.pk).update(recheck_at=timezone.now())
    payout.refresh_from_db()
    assert payout.recheck_at is None


def test_what_is_due_is_read_from_its_index(fake: FakeProvider) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
    with CaptureQueriesContext(connection) as queries:
        run_settled()
    wanted = [query["sql"] for query in queries if 'recheck_at" <=' in query["sql"]]
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {wanted[0]}")
        plan = "\n".join(row[0] for row in cursor.fetchall())
    assert "payout_recheck_due" in plan
