"""The card of the start page about money."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from escrow import escrows, ledger
from escrow.admin import overview
from escrow.admin.tests.operators import signed_in, words
from escrow.escrows.fee_rules import set_fee
from escrow.escrows.fees import Terms
from escrow.escrows.tests import deals
from escrow.ledger.tests.books import fund
from escrow.models import LedgerWatch, Milestone, Payout, Source
from escrow.payments.contradictions import Kind, note
from escrow.snapshot import take_snapshot

pytestmark = pytest.mark.django_db


def signs() -> dict[str, tuple[str, str, str]]:
    """Tone, text and runbook of each line, by its name."""
    found = overview.overview()["escrow_signs"]
    return {sign.name: (sign.tone, sign.text, sign.runbook) for sign in found}


def unknown_since(**age: Any) -> None:
    since = timezone.now() - timedelta(**age)
    sent = {"first_sent_at": since, "last_sent_at": since}
    user = deals.make_party()
    row = Payout.objects.create(
        user=user,
        source=Source.PAYABLE,
        amount_minor=1,
        currency="NGN",
        provider="sandbox",
        reference=f"r-{user.pk}",
        destination_encrypted=b"x",
        destination_last="1234",
    )
    Payout.objects.filter(pk=row.pk).update(state="unknown", state_since=since, **sent)


def test_a_quiet_day() -> None:
    fund(1, 150_000)
    fund(2, 300, "USD")
    take_snapshot()
    for currency in ("NGN", "USD"):
        set_fee(currency=currency, terms=Terms(200, 0, 0, None), actor=deals.make_freezer(), reason="Ours.")
    assert signs() == {
        "Funds held": ("info", "NGN 1,500", ""),
        "Books": ("good", "Checked", ""),
        "Automatic releases": ("good", "In time", ""),
        "Approved milestones": ("good", "Released", ""),
        "Payouts": ("good", "None unknown", ""),
    }
    text = words(signed_in("finance"), "/admin/")
    assert "Funds held NGN 1,500 and USD 3 " in text


def test_what_is_stuck_is_named_with_its_runbook() -> None:
    deals.due(deals.submitted())
    Milestone.objects.filter(auto_release_at__isnull=False).update(
        auto_release_at=timezone.now() - timedelta(minutes=6)
    )
    deals.blocked()
    unknown_since(minutes=20)
    excess = [
        ledger.Leg(ledger.clearing("sandbox", "NGN"), -500),
        ledger.Leg(ledger.suspense("sandbox", "NGN"), 500),
    ]
    ledger.post(kind=ledger.TransferKind.FUNDING_EXCESS, key="excess", legs=excess)
    escrows.freeze(escrow_id=deals.funded().escrow.pk, operator=deals.make_freezer(), reason="A complaint.")
    note(Payout.objects.get(), Kind.OTHER_AMOUNT, booked="1", said="2")
    take_snapshot()
    found = signs()
    assert found["Contradictions"] == ("bad", "1 open", "PaymentContradicted")
    assert found["Automatic releases"] == ("bad", "1 late", "AutoReleaseOverdue")
    assert found["Approved milestones"] == ("warning", "1 wait", "")
    assert found["Payouts"] == ("bad", "1 unknown", "PayoutUnknown")
    assert found["Suspense"] == ("warning", "NGN 5", "SuspenseNotCleared")
    assert found["Frozen escrows"] == ("warning", "1", "")
    start = signed_in("finance").get("/admin/").content.decode()
    assert '<a href="/admin/escrow/escrow/?flag=frozen">Frozen escrows</a>' in start


def test_a_payout_that_is_unknown_since_a_moment_ago_needs_no_one_yet() -> None:
    unknown_since(minutes=2)
    assert signs()["Payouts"] == ("waiting", "1 unknown", "")


def test_amounts_of_an_old_check_are_marked() -> None:
    assert signs()["Books"] == ("bad", "Checked never", "EscrowSnapshotStale")
    take_snapshot()
    LedgerWatch.objects.update(taken_at=timezone.now() - timedelta(minutes=4))
    assert signs()["Books"] == ("bad", "Checked 4 min ago", "EscrowSnapshotStale")


@pytest.mark.parametrize(
    ("role", "sees"), [("finance", True), ("approver", True), ("viewer", False), ("responder", False)]
)
def test_only_those_who_see_escrows_see_the_card(role: str, sees: bool) -> None:
    assert ("Funds held" in words(signed_in(role), "/admin/")) == sees


def test_the_card_costs_the_same_however_much_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overview, "COUNT_AT_MOST", 2)
    for _ in range(3):
        unknown_since(minutes=1)
    with CaptureQueriesContext(connection) as queries:
        assert signs()["Payouts"][1] == "2+ unknown"
    assert len(queries) == 4
