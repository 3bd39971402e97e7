"""A contradiction is open, and counted, until an approver closes it with a reason. It is never deleted."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import Error as DatabaseError
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import User
from core.errors import AmaniError
from escrow import ledger
from escrow.admin.tests.payments import make_collection, make_payout
from escrow.models import Contradiction, Payout
from escrow.payments import contradictions, personal
from escrow.payments.contradictions import Kind, close, note
from escrow.payments.errors import ClosingNeedsReason, ContradictionClosed, MayNotClose, OwnPayment
from escrow.snapshot import record_waiting
from escrow.tests.test_snapshot import sample
from kyc.tests.people import make_approver, make_operator

pytestmark = pytest.mark.django_db

WHY = "The bank confirmed in writing that it failed."


def contradicted(payout: Payout | None = None, *, said: str = "failed") -> Contradiction:
    subject = payout or make_payout()
    note(subject, Kind.AFTER_THE_END, booked="settled", said=said)
    return Contradiction.objects.latest("id")


def counted(kind: str = "after_the_end") -> tuple[Any, Any]:
    labels = {"provider": "sandbox", "kind": kind}
    count = sample("amani_payment_contradictions_open", **labels)
    return count, sample("amani_payment_contradictions_oldest_seconds", **labels)


def test_an_approver_closes_one_and_it_says_who_when_and_why() -> None:
    found, approver = contradicted(), make_approver()
    before = timezone.now()
    close(contradiction_id=found.pk, actor=approver, reason=f"  {WHY} ")
    found.refresh_from_db()
    assert (found.closed_by, found.closed_because) == (approver, WHY)
    assert found.closed_at is not None
    assert before <= found.closed_at <= timezone.now()


def test_closing_moves_no_money_and_no_state() -> None:
    payout = make_payout()
    found = contradicted(payout)
    transit = ledger.in_transit(payout.user_id, payout.currency)
    before = (payout.state, payout.version, ledger.balance_of(transit))
    close(contradiction_id=found.pk, actor=make_approver(), reason=WHY)
    payout.refresh_from_db()
    assert (payout.state, payout.version, ledger.balance_of(transit)) == before


@pytest.mark.parametrize(
    ("role", "reason", "error"),
    [("finance", WHY, MayNotClose), ("approver", " \n", ClosingNeedsReason)],
)
def test_without_the_role_or_a_reason_it_stays_open(role: str, reason: str, error: type[AmaniError]) -> None:
    found = contradicted()
    with pytest.raises(error):
        close(contradiction_id=found.pk, actor=make_operator(role), reason=reason)
    found.refresh_from_db()
    assert (found.closed_at, found.closed_by, found.closed_because) == (None, None, "")


def test_what_is_closed_cannot_be_closed_again_by_another() -> None:
    found, first = contradicted(), make_approver()
    close(contradiction_id=found.pk, actor=first, reason=WHY)
    with pytest.raises(ContradictionClosed):
        close(contradiction_id=found.pk, actor=make_operator("approver"), reason="Another.")
    found.refresh_from_db()
    assert (found.closed_by, found.closed_because) == (first, WHY)


@pytest.mark.parametrize("whose", ["user", "payer", "seller"])
def test_an_operator_is_no_judge_of_their_own_money(whose: str) -> None:
    if whose == "user":
        payout = make_payout()
        found = contradicted(payout)
        owner: User | None = payout.user
    else:
        collection = make_collection()
        note(collection, Kind.OTHER_AMOUNT, booked="1", said="2")
        found = Contradiction.objects.get()
        owner = collection.payer if whose == "payer" else collection.escrow.seller
    assert owner is not None
    User.objects.filter(pk=owner.pk).update(is_superuser=True)
    with pytest.raises(OwnPayment):
        close(contradiction_id=found.pk, actor=User.objects.get(pk=owner.pk), reason=WHY)
    found.refresh_from_db()
    assert found.closed_at is None


def test_the_same_words_do_not_open_it_again_and_other_words_are_another_one() -> None:
    payout = make_payout()
    found = contradicted(payout)
    close(contradiction_id=found.pk, actor=make_approver(), reason=WHY)
    contradicted(payout)
    assert Contradiction.objects.filter(closed_at__isnull=True).count() == 0
    contradicted(payout, said="unknown")
    assert Contradiction.objects.filter(closed_at__isnull=True).count() == 1


@pytest.mark.parametrize(
    "change",
    [
        {"said": "settled"},
        {"closed_at": None, "closed_by": None, "closed_because": ""},
        {"closed_at": timezone.now()},
        {"closed_because": "Another reason."},
    ],
)
def test_the_database_keeps_a_closed_one_as_it_is(change: dict[str, Any]) -> None:
    found = contradicted()
    close(contradiction_id=found.pk, actor=make_approver(), reason=WHY)
    rows = Contradiction.objects.filter(pk=found.pk)
    with pytest.raises(DatabaseError), transaction.atomic():
        rows.update(**change)
    with pytest.raises(DatabaseError), transaction.atomic():
        rows.delete()
    assert rows.values_list("said", "closed_because").get() == ("failed", WHY)


def test_the_database_lets_none_be_closed_without_an_operator_and_a_reason() -> None:
    found, approver = contradicted(), make_approver()
    rows = Contradiction.objects.filter(pk=found.pk)
    for change in ({"closed_because": WHY}, {"closed_by": approver}):
        with pytest.raises(DatabaseError), transaction.atomic():
            rows.update(closed_at=timezone.now(), **change)
    facts = {"provider": "sandbox", "kind": "taken_back", "booked": "x", "said": "y"}
    with pytest.raises(DatabaseError), transaction.atomic():
        Contradiction.objects.create(
            **facts, closed_at=timezone.now(), closed_by=approver, closed_because=WHY
        )
    found.refresh_from_db()
    assert found.closed_at is None


def test_the_gauges_count_what_is_open_with_the_age_of_the_oldest() -> None:
    payout = make_payout()
    first = contradicted(payout)
    contradicted(payout, said="unknown")
    now = first.at + timedelta(hours=2)
    record_waiting(now)
    assert counted() == (2, pytest.approx(7200))
    assert counted("other_amount") == (0, 0)
    for found in Contradiction.objects.all():
        close(contradiction_id=found.pk, actor=make_operator("approver"), reason=WHY)
    record_waiting(now)
    assert counted() == (0, 0)


def test_open_ones_are_counted_from_their_index() -> None:
    contradicted()
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
    with CaptureQueriesContext(connection) as queries:
        contradictions.open_ones()
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {queries[0]['sql']}")
        plan = "\n".join(row[0] for row in cursor.fetchall())
    assert "contradiction_open" in plan


def test_what_was_written_about_a_payment_goes_with_its_account() -> None:
    payout = make_payout()
    closed = contradicted(payout)
    close(contradiction_id=closed.pk, actor=make_approver(), reason="Ada Obi called.")
    others = contradicted()
    close(contradiction_id=others.pk, actor=make_operator("approver"), reason=WHY)
    personal.erase(payout.user)
    closed.refresh_from_db()
    others.refresh_from_db()
    assert (closed.closed_because, others.closed_because) == ("", WHY)
    assert closed.closed_at is not None
