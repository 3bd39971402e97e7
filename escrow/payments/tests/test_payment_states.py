"""The tables of payments: every state, step and part, in Python and by SQL; the rows that never change.

All of it with the role of the application.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction

from core.states import By
from escrow.errors import StepRefused
from escrow.ledger.tests.books import books
from escrow.models import Contradiction, PaymentEvent, Payout, PayoutEvent, ProviderCall
from escrow.payments.states import (
    COLLECTION_TRANSITIONS,
    PAYOUT_TRANSITIONS,
    CollectionState,
    PayoutState,
    PayoutStep,
    Who,
)
from escrow.payments.tests.fake import FakeProvider
from escrow.payments.tests.money import asked, rich
from escrow.payments.tests.test_payouts import in_state, report
from escrow.payments.transitions import change_payout

pytestmark = [pytest.mark.usefixtures("as_the_application"), pytest.mark.django_db]

DOCUMENT = Path(__file__).parents[3] / "docs" / "payments.md"
LIVE = [state for state in PayoutState if state != PayoutState.REQUESTED]


@pytest.mark.parametrize("state", list(PayoutState))
def test_only_the_steps_of_the_table_change_a_payout(fake: FakeProvider, state: PayoutState) -> None:
    payout = in_state(fake, state)
    allowed = {(row.event, who) for row in PAYOUT_TRANSITIONS.rows if row.source == state for who in row.who}
    before = books()
    for step in PayoutStep:
        for who in Who:
            if (step, who) not in allowed:
                with pytest.raises(StepRefused), transaction.atomic():
                    change_payout(payout, step, By(who))
    assert (Payout.objects.get().state, books()) == (state, before)


@pytest.mark.parametrize("state", list(PayoutState))
def test_the_database_refuses_every_other_change_of_state(fake: FakeProvider, state: PayoutState) -> None:
    payout = in_state(fake, state)
    allowed = {row.target for row in PAYOUT_TRANSITIONS.rows if row.source == state}
    for target in set(PayoutState) - allowed - {state}:
        with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(
                "UPDATE escrow_payout SET state = %s, finished_at = now(), next_attempt_at = NULL,"
                " first_sent_at = now(), last_sent_at = now() WHERE id = %s",
                [target.value, payout.pk],
            )
    payout.refresh_from_db()
    assert payout.state == state


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("reference", "another"),
        ("amount_minor", 1),
        ("currency", "NGN"),
        ("user_id", None),
        ("provider", "paystack"),
        ("source", "refundable"),
        ("key", "k"),
        ("hold_id", 1),
    ],
)
def test_what_a_payout_is_never_changes(fake: FakeProvider, column: str, value: Any) -> None:
    payout = asked(rich())
    value = rich().pk if column == "user_id" else value
    with pytest.raises(DatabaseError), transaction.atomic():
        Payout.objects.filter(pk=payout.pk).update(**{column: value})
    with pytest.raises(DatabaseError), transaction.atomic():
        Payout.objects.filter(pk=payout.pk).delete()
    assert Payout.objects.get(pk=payout.pk).reference == payout.reference


@pytest.mark.parametrize(
    ("model", "changes"),
    [
        (PayoutEvent, {"text": "x"}),
        (ProviderCall, {"text": "x"}),
        (Contradiction, {"said": "x"}),
        (PaymentEvent, {"body": b"x"}),
        (PaymentEvent, {"signature_ok": False}),
    ],
)
def test_what_happened_is_never_rewritten(fake: FakeProvider, model: Any, changes: dict[str, Any]) -> None:
    payout = in_state(fake, PayoutState.SETTLED)
    report(payout)
    Contradiction.objects.create(
        payout=payout, provider="sandbox", kind="after_the_end", said="s", booked="b"
    )
    before = list(model.objects.values())
    assert before
    with pytest.raises(DatabaseError), transaction.atomic():
        model.objects.update(**changes)
    assert list(model.objects.values()) == before


def test_the_document_shows_the_tables() -> None:
    text = DOCUMENT.read_text()
    assert PAYOUT_TRANSITIONS.diagram(PayoutState.REQUESTED) in text
    assert COLLECTION_TRANSITIONS.diagram(CollectionState.STARTED) in text
