"""Races release, partial release, refund and automatic release of one milestone: the money leaves once.

The suite plays a few rounds; AMANI_RACES=1000 plays more.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable
from functools import partial

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from core.errors import AmaniError
from escrow import escrows, ledger
from escrow.errors import StepRefused, TermsChanged, VersionChanged
from escrow.escrows.tests.deals import (
    Deal,
    agreed,
    due,
    make_party,
    milestone_in,
    pay,
    proposed,
    submitted,
)
from escrow.models import Escrow, LedgerTransfer, Milestone
from escrow.states import MilestoneState, State
from kyc.tests.test_case_races import at_once

ROUNDS = int(os.environ.get("AMANI_RACES", "12"))


def attempts(deal: Deal) -> list[Callable[[], object]]:
    public_id = deal.first.public_id
    return [
        partial(escrows.approve, actor=deal.buyer, public_id=public_id),
        partial(escrows.approve, actor=deal.buyer, public_id=public_id),
        partial(escrows.release_partially, actor=deal.buyer, public_id=public_id, amount_minor=1_000_000),
        partial(escrows.refund, actor=deal.seller, public_id=public_id),
        escrows.auto_release_due,
    ]


@pytest.mark.django_db(transaction=True)
def test_raced_releases_and_refunds_move_the_money_once() -> None:
    buyer, seller = make_party(), make_party()
    moved: Counter[str] = Counter()
    for _ in range(ROUNDS):
        deal = submitted(2_000_000, buyer=buyer, seller=seller, fee_payer="split")
        due(deal)
        before = (deal.sellers, deal.buyers)
        actions = attempts(deal)
        random.shuffle(actions)
        outcomes = at_once(*actions)
        assert all(isinstance(outcome, Milestone | int | AmaniError) for outcome in outcomes), outcomes
        milestone = deal.first
        assert milestone.state in (MilestoneState.RELEASED, MilestoneState.REFUNDED)
        assert milestone.rest_minor == deal.held == 0
        released = deal.sellers - before[0]
        taken = 15_000 * milestone.released_minor // 2_000_000
        assert released == milestone.released_minor - taken
        back = milestone.refunded_minor + 15_000 - taken if milestone.refunded_minor else 0
        assert deal.buyers - before[1] == back
        assert milestone.version == milestone.events.count()
        out = LedgerTransfer.objects.filter(milestone_id=milestone.pk)
        assert out.count() == (2 if milestone.events.filter(event="release_part").exists() else 1)
        moved[milestone.state] += 1
    fees = ledger.balance_of(ledger.platform_fee("NGN"))
    paid_in = ROUNDS * 2_015_000
    assert sum((deal.sellers, deal.buyers, fees)) == paid_in, moved


@pytest.mark.django_db(transaction=True)
def test_of_an_agreement_a_counter_proposal_and_a_cancellation_one_comes_first() -> None:
    for _ in range(3):
        deal = proposed()
        public_id = deal.escrow.public_id
        draft = escrows.Draft("Other", [escrows.MilestoneDraft("All", 10**6)])
        outcomes = at_once(
            partial(escrows.agree, actor=deal.seller, public_id=public_id, terms_hash=deal.terms_hash),
            partial(
                escrows.counter_propose, actor=deal.buyer, public_id=public_id, draft=draft, if_version=1
            ),
            partial(escrows.cancel, actor=deal.buyer, public_id=public_id, if_version=1),
        )
        escrow = Escrow.objects.get(public_id=public_id)
        refused = [outcome for outcome in outcomes if isinstance(outcome, AmaniError)]
        assert len(refused) == 2, outcomes
        assert escrow.state in (State.AWAITING_FUNDS, State.PROPOSED, State.CANCELLED)
        assert {type(error) for error in refused} <= {StepRefused, VersionChanged, TermsChanged}


@pytest.mark.django_db(transaction=True)
def test_one_receipt_from_webhook_poll_and_person_funds_once() -> None:
    deal = agreed()
    arrives = partial(
        escrows.money_arrived,
        escrow_id=deal.escrow.pk,
        collection_id=1,
        amount_minor=deal.escrow.due_minor,
        provider="sandbox",
        receipt="r1",
    )
    outcomes = at_once(*[arrives] * 4)
    assert sorted(outcome.was_known for outcome in outcomes) == [False, True, True, True]  # type: ignore[attr-defined]  # Arrived
    assert (deal.held, LedgerTransfer.objects.count()) == (deal.escrow.due_minor, 1)


@pytest.mark.django_db(transaction=True)
def test_an_expiry_and_the_last_payment_are_not_both() -> None:
    deal = agreed()
    Escrow.objects.filter(pk=deal.escrow.pk).update(expires_at=deal.escrow.created_at)
    at_once(escrows.expire_due, partial(pay, deal.escrow, deal.escrow.due_minor))
    escrow = Escrow.objects.get(pk=deal.escrow.pk)
    suspense = ledger.balance_of(ledger.suspense("sandbox", "NGN"))
    assert (escrow.state, deal.held, suspense) in (
        (State.FUNDED, escrow.due_minor, 0),
        (State.CANCELLED, 0, escrow.due_minor),
    )


# --- The order of locks ---

ORDER = ("accounts_user", "escrow_escrow", "escrow_milestone", "kyc_limitusage", "ledger_post")


def locks_of(action: Callable[[], object]) -> list[str]:
    """Returns what the action locks, in the order in which it does."""
    with CaptureQueriesContext(connection) as captured:
        action()
    found = []
    for query in captured.captured_queries:
        sql = query["sql"]
        if "FOR NO KEY UPDATE OF " in sql:  # of several tables, in this order
            found += [name.strip('"') for name in sql.partition("FOR NO KEY UPDATE OF ")[2].split(", ")]
        elif "FOR NO KEY UPDATE" in sql or "INSERT INTO kyc_limitusage" in sql or "ledger_post(" in sql:
            spellings = ('FROM "{}"', "{} AS", "{}(")
            found += [name for name in ORDER if any(form.format(name) in sql for form in spellings)]
    return found


@pytest.mark.django_db
def test_every_service_locks_in_the_order_of_the_sentence() -> None:
    """The sentence is in escrow/escrows/transitions.py."""
    deal = submitted()
    second = deal.milestones[1]
    waits = milestone_in(MilestoneState.RELEASE_REQUESTED)
    due(waits)
    unfunded = agreed()
    actions: dict[str, Callable[[], object]] = {
        "propose": proposed,
        "agree": agreed,
        "part": partial(
            escrows.release_partially, actor=deal.buyer, public_id=deal.first.public_id, amount_minor=500
        ),
        "approve": partial(escrows.approve, actor=deal.buyer, public_id=deal.first.public_id),
        "refund": partial(escrows.refund, actor=deal.seller, public_id=second.public_id),
        "clock": escrows.auto_release_due,
        "arrived": partial(pay, unfunded.escrow, 1_000),
        "cancel": partial(escrows.cancel, actor=unfunded.buyer, public_id=unfunded.escrow.public_id),
    }
    for name, action in actions.items():
        places = [ORDER.index(lock) for lock in locks_of(action)]
        if name in ("propose", "agree"):  # several services one after another
            assert places[0] == 0
            continue
        assert places == sorted(places), (name, places)
        assert {1, 2} <= set(places), name
        assert 4 in places, name
