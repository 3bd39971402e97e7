"""Tests proposals, counter-proposals, agreement, cancellation before the funding, and expiry."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone

from escrow import escrows
from escrow.errors import (
    EscrowNotFound,
    Expired,
    OwnTerms,
    SameParty,
    StepRefused,
    TermsChanged,
    TooManyVersions,
    VersionChanged,
    WrongInput,
    WrongParty,
)
from escrow.escrows import terms
from escrow.escrows.terms import hash_of
from escrow.escrows.tests.deals import (
    NAIRA,
    Deal,
    agree,
    agreed,
    draft,
    drafted,
    make_party,
    pay,
    proposed,
)
from escrow.models import Escrow, EscrowTerms, Milestone
from escrow.states import State

pytestmark = pytest.mark.django_db


def test_proposing_is_agreeing_to_ones_own_terms() -> None:
    deal = proposed()
    escrow = deal.escrow
    assert (escrow.state, escrow.version) == (State.PROPOSED, 1)
    assert escrow.terms is not None
    assert list(escrow.terms.agreements.values_list("user_id", flat=True)) == [deal.buyer.pk]
    assert not Milestone.objects.exists()


def test_the_parties_see_the_fee_before_they_agree() -> None:
    """1.5 % of NGN 100,000, which the buyer pays on top, by the milestones' amounts."""
    escrow = proposed().escrow
    assert escrow.terms is not None
    document = escrow.terms.document
    assert document["amount_minor"] == 100_000 * NAIRA
    assert document["fee_minor"] == 1_500 * NAIRA
    assert [part["buyer_fee_minor"] for part in document["milestones"]] == [900 * NAIRA, 600 * NAIRA]
    assert document["due_minor"] == escrow.due_minor == 101_500 * NAIRA
    assert document["seller_gets_minor"] == 100_000 * NAIRA


def test_the_hash_is_of_what_is_stored() -> None:
    terms = EscrowTerms.objects.get(escrow=proposed().escrow)
    assert hash_of(terms.document) == terms.hash


def test_when_both_have_agreed_the_escrow_waits_for_the_money() -> None:
    deal = agreed()
    escrow = deal.escrow
    assert escrow.state == State.AWAITING_FUNDS
    assert escrow.agreed_at is not None
    assert [event.event for event in escrow.events.all()] == ["propose", "agree", "await_funds"]
    assert [(m.seq, m.title, m.amount_minor, m.buyer_fee_minor, m.state) for m in deal.milestones] == [
        (1, "Part 1", 60_000 * NAIRA, 900 * NAIRA, "pending"),
        (2, "Part 2", 40_000 * NAIRA, 600 * NAIRA, "pending"),
    ]


def test_the_proposer_does_not_agree_for_the_other_party() -> None:
    deal = proposed()
    with pytest.raises(OwnTerms):
        escrows.agree(actor=deal.buyer, public_id=deal.escrow.public_id, terms_hash=deal.terms_hash)
    deal.escrow.refresh_from_db()
    assert deal.escrow.state == State.PROPOSED


def test_a_counter_proposal_needs_the_agreement_of_the_other_party_again() -> None:
    deal = proposed()
    first = deal.escrow.terms
    escrow = escrows.counter_propose(
        actor=deal.seller, public_id=deal.escrow.public_id, draft=draft(70_000 * NAIRA)
    )
    assert first is not None
    assert escrow.terms is not None
    assert (escrow.state, escrow.terms.number) == (State.PROPOSED, 2)
    assert escrow.terms.hash != first.hash
    with pytest.raises(OwnTerms):
        agree(deal._replace(escrow=escrow))
    with pytest.raises(TermsChanged) as refusal:
        escrows.agree(actor=deal.buyer, public_id=escrow.public_id, terms_hash=first.hash)
    assert list(refusal.value.fields) == ["terms_hash"]
    done = escrows.agree(actor=deal.buyer, public_id=escrow.public_id, terms_hash=escrow.terms.hash)
    assert (done.state, done.due_minor) == (State.AWAITING_FUNDS, 71_050 * NAIRA)
    assert done.milestones.count() == 1


def test_terms_cannot_change_after_both_agreed() -> None:
    deal = agreed()
    for actor in (deal.buyer, deal.seller):
        with pytest.raises(StepRefused):
            escrows.counter_propose(actor=actor, public_id=deal.escrow.public_id, draft=draft())
    assert EscrowTerms.objects.count() == 1


def test_a_draft_is_the_creators_alone_until_it_is_proposed() -> None:
    deal = drafted()
    with pytest.raises(EscrowNotFound):
        escrows.cancel(actor=deal.seller, public_id=deal.escrow.public_id)
    escrows.rewrite_draft(actor=deal.buyer, public_id=deal.escrow.public_id, draft=draft(5_000 * NAIRA))
    escrow = escrows.propose_draft(actor=deal.buyer, public_id=deal.escrow.public_id, other_id=deal.seller.pk)
    assert (escrow.state, escrow.due_minor) == (State.PROPOSED, 5_100 * NAIRA)
    with pytest.raises(StepRefused):
        escrows.rewrite_draft(actor=deal.buyer, public_id=escrow.public_id, draft=draft())
    assert agree(deal._replace(escrow=escrow)).state == State.AWAITING_FUNDS


def test_the_time_of_a_draft_begins_anew_when_it_is_rewritten() -> None:
    deal = drafted()
    soon = timezone.now() + timedelta(hours=1)
    Escrow.objects.filter(pk=deal.escrow.pk).update(expires_at=soon)
    escrow = escrows.rewrite_draft(actor=deal.buyer, public_id=deal.escrow.public_id, draft=draft())
    assert escrow.expires_at is not None
    assert escrow.expires_at > soon


def test_terms_have_only_so_many_versions_and_are_agreed_to_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(terms, "MOST_VERSIONS", 2)
    deal = drafted()
    words: dict[str, Any] = {"actor": deal.buyer, "public_id": deal.escrow.public_id}
    escrows.rewrite_draft(**words, draft=draft())
    with pytest.raises(TooManyVersions):
        escrows.rewrite_draft(**words, draft=draft())
    escrow = escrows.propose_draft(**words, other_id=deal.seller.pk)
    with pytest.raises(TooManyVersions):
        escrows.counter_propose(**words, draft=draft())
    assert EscrowTerms.objects.count() == 3
    assert agree(deal._replace(escrow=escrow)).state == State.AWAITING_FUNDS


@pytest.mark.parametrize("who", ["buyer", "seller"])
def test_each_party_may_cancel_before_the_money_comes(who: str) -> None:
    for deal in (proposed(), agreed()):
        actor = getattr(deal, who)
        escrow = escrows.cancel(actor=actor, public_id=deal.escrow.public_id, reason="I changed my mind.")
        assert escrow.state == State.CANCELLED
        event = escrow.events.last()
        assert (event.actor_id, event.reason) == (actor.pk, "I changed my mind.")
        assert {milestone.state for milestone in deal.milestones} <= {"cancelled"}


def test_a_cancelled_escrow_gives_back_what_came_of_the_money() -> None:
    deal = agreed()
    pay(deal.escrow, 40_000 * NAIRA)
    assert deal.held == 40_000 * NAIRA
    escrows.cancel(actor=deal.seller, public_id=deal.escrow.public_id)
    assert (deal.held, deal.buyers, deal.sellers) == (0, 40_000 * NAIRA, 0)


def test_another_persons_escrow_does_not_exist() -> None:
    deal, stranger = proposed(), make_party()
    public_id = deal.escrow.public_id
    with pytest.raises(EscrowNotFound):
        escrows.cancel(actor=stranger, public_id=public_id)
    with pytest.raises(EscrowNotFound):
        escrows.counter_propose(actor=stranger, public_id=public_id, draft=draft())
    with pytest.raises(EscrowNotFound):
        escrows.agree(actor=stranger, public_id=public_id, terms_hash=deal.terms_hash)
    with pytest.raises(EscrowNotFound):
        escrows.keep(actor=deal.buyer, public_id=uuid4())
    deal.escrow.refresh_from_db()
    assert (deal.escrow.state, deal.escrow.version) == (State.PROPOSED, 1)


def test_a_step_on_what_has_changed_meanwhile_is_refused() -> None:
    deal = proposed()
    with pytest.raises(VersionChanged) as refusal:
        escrows.cancel(actor=deal.buyer, public_id=deal.escrow.public_id, if_version=0)
    assert refusal.value.version == 1
    assert (
        escrows.cancel(actor=deal.buyer, public_id=deal.escrow.public_id, if_version=1).state == "cancelled"
    )


# --- Parties ---


def test_nobody_is_both_parties() -> None:
    buyer = make_party()
    with pytest.raises(SameParty) as refusal:
        escrows.propose(creator=buyer, role="buyer", currency="NGN", draft=draft(), other_id=buyer.pk)
    assert list(refusal.value.fields) == ["other_id"]
    with pytest.raises(SameParty) as refusal:
        escrows.propose(
            creator=buyer, role="seller", currency="NGN", draft=draft(), other_email=buyer.email.upper()
        )
    assert list(refusal.value.fields) == ["other_email"]
    assert not Escrow.objects.exists()


def test_unknown_closed_and_erased_accounts_are_no_party() -> None:
    buyer, closed = make_party(), make_party()
    closed.is_active = False
    closed.save()
    for other_id in (closed.pk, 2**40):
        with pytest.raises(WrongParty) as refusal:
            escrows.propose(creator=buyer, role="buyer", currency="NGN", draft=draft(), other_id=other_id)
        assert list(refusal.value.fields) == ["other_id"]
    with pytest.raises(WrongParty) as refusal:
        escrows.propose(creator=buyer, role="buyer", currency="NGN", draft=draft(), other_email="no address")
    assert list(refusal.value.fields) == ["other_email"]
    assert not Escrow.objects.exists()


def test_a_role_is_buyer_or_seller() -> None:
    with pytest.raises(WrongInput) as refusal:
        escrows.save_draft(creator=make_party(), role="arbiter", currency="NGN", draft=draft())
    assert list(refusal.value.fields) == ["role"]


# --- Time ---


def is_over(deal: Deal) -> None:
    Escrow.objects.filter(pk=deal.escrow.pk).update(expires_at=timezone.now() - timedelta(seconds=1))


def test_proposals_and_unfunded_escrows_expire() -> None:
    deals = [drafted(), proposed(), agreed()]
    assert escrows.expire_due() == 0
    for deal in deals:
        is_over(deal)
    pay(deals[2].escrow, 1_000)
    assert escrows.expire_due() == 3
    assert set(Escrow.objects.values_list("state", flat=True)) == {"cancelled"}
    assert (deals[2].held, deals[2].buyers) == (0, 1_000)
    assert escrows.expire_due() == 0


def test_an_expired_proposal_is_not_agreed_to_before_the_sweep_comes() -> None:
    deal = proposed()
    is_over(deal)
    with pytest.raises(Expired):
        agree(deal)
    with pytest.raises(Expired):
        escrows.counter_propose(actor=deal.seller, public_id=deal.escrow.public_id, draft=draft())
    deal.escrow.refresh_from_db()
    assert deal.escrow.state == State.PROPOSED
