"""Makes people who may move money, and escrows in any state through the real services."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from itertools import count
from typing import Any, NamedTuple

from allauth.account.models import EmailAddress
from django.utils import timezone

from accounts.models import User
from escrow import escrows, ledger
from escrow.escrows import Draft, MilestoneDraft
from escrow.escrows.transitions import current_terms
from escrow.models import Escrow, LedgerTransfer, Milestone
from escrow.states import MilestoneState, State
from kyc.models import Case
from kyc.tests.people import make_operator, make_person

numbers = count(1)
NAIRA = 100  # kobo
TIER_3 = ("nin", "bvn", "passport")


class Deal(NamedTuple):
    """An escrow and its people, who all may try something."""

    escrow: Escrow
    buyer: User
    seller: User

    @property
    def milestones(self) -> list[Milestone]:
        return list(self.escrow.milestones.order_by("seq"))

    @property
    def first(self) -> Milestone:
        return self.milestones[0]

    @property
    def terms_hash(self) -> str:
        """The hash of the terms that the escrow had when the deal was made."""
        return current_terms(self.escrow).hash

    @property
    def held(self) -> int:
        return ledger.balance_of(ledger.held(self.escrow.pk, self.escrow.currency))

    @property
    def sellers(self) -> int:
        return ledger.balance_of(ledger.payable(self.seller.pk, self.escrow.currency))

    @property
    def buyers(self) -> int:
        return ledger.balance_of(ledger.refundable(self.buyer.pk, self.escrow.currency))


def make_party(documents: Sequence[str] = TIER_3) -> User:
    """A person with a verified address and approved documents: tier 3, so large sums may be moved."""
    person = make_person()
    EmailAddress.objects.create(user=person, email=person.email, verified=True, primary=True)
    verify(person, documents)
    return person


def verify(person: User, documents: Sequence[str] = TIER_3) -> None:
    until = timezone.now() + timedelta(days=100)
    Case.objects.bulk_create(
        Case(person=person, document_type=kind, country="NG", state="approved", expires_at=until)
        for kind in documents
    )


def make_freezer() -> User:
    return make_operator("approver")


def draft(*amounts: int, **changes: Any) -> Draft:
    """Terms with one milestone for each amount in kobo; without any, two of NGN 60,000 and 40,000."""
    milestones = [
        MilestoneDraft(f"Part {place}", amount)
        for place, amount in enumerate(amounts or (60_000 * NAIRA, 40_000 * NAIRA), start=1)
    ]
    return Draft(**{"title": "A website", "terms": "As discussed.", "milestones": milestones, **changes})


def drafted(*amounts: int, **changes: Any) -> Deal:
    buyer, seller = make_party(), make_party()
    escrow = escrows.save_draft(creator=buyer, role="buyer", currency="NGN", draft=draft(*amounts, **changes))
    return Deal(escrow, buyer, seller)


def proposed(*amounts: int, buyer: User | None = None, seller: User | None = None, **changes: Any) -> Deal:
    """Proposed by the buyer."""
    buyer, seller = buyer or make_party(), seller or make_party()
    escrow = escrows.propose(
        creator=buyer, role="buyer", currency="NGN", draft=draft(*amounts, **changes), other_id=seller.pk
    )
    return Deal(escrow, buyer, seller)


def agreed(*amounts: int, **changes: Any) -> Deal:
    deal = proposed(*amounts, **changes)
    return deal._replace(escrow=agree(deal))


def agree(deal: Deal) -> Escrow:
    return escrows.agree(actor=deal.seller, public_id=deal.escrow.public_id, terms_hash=deal.terms_hash)


def funded(*amounts: int, **changes: Any) -> Deal:
    deal = agreed(*amounts, **changes)
    return deal._replace(escrow=pay(deal.escrow, deal.escrow.due_minor))


def pay(escrow: Escrow, amount_minor: int, receipt: str = "") -> Escrow:
    return escrows.money_arrived(
        escrow_id=escrow.pk,
        collection_id=escrow.pk,
        amount_minor=amount_minor,
        provider="sandbox",
        receipt=receipt or f"receipt-{next(numbers)}",
    ).escrow


def submitted(*amounts: int, **changes: Any) -> Deal:
    """Its first milestone is delivered."""
    deal = funded(*amounts, **changes)
    escrows.submit(actor=deal.seller, public_id=deal.first.public_id)
    deal.escrow.refresh_from_db()
    return deal


def due(deal: Deal) -> None:
    """Ends the inspection of what was delivered."""
    past = timezone.now() - timedelta(seconds=5)
    Milestone.objects.filter(escrow=deal.escrow, auto_release_at__isnull=False).update(auto_release_at=past)


def blocked(*amounts: int, **changes: Any) -> Deal:
    """Approved, but the seller cannot receive it: the first milestone waits in `release_requested`."""
    deal = submitted(*amounts, **changes)
    Case.objects.filter(person=deal.seller).update(state="expired")
    escrows.approve(actor=deal.buyer, public_id=deal.first.public_id)
    verify(deal.seller)
    return deal


def escrow_in(state: State) -> Deal:
    """A deal of two milestones in that state, with all the history that led there."""
    begin = BEGINNINGS.get(state, funded)
    deal = begin()
    if state == State.CANCELLED:
        escrows.cancel(actor=deal.buyer, public_id=deal.escrow.public_id)
    for milestone, end in zip(deal.milestones, ENDINGS.get(state, ""), strict=False):
        if end == "released":
            escrows.approve(actor=deal.buyer, public_id=milestone.public_id)
        else:
            escrows.refund(actor=deal.seller, public_id=milestone.public_id)
    deal.escrow.refresh_from_db()
    return deal


BEGINNINGS = {
    State.DRAFT: drafted,
    State.PROPOSED: proposed,
    State.AWAITING_FUNDS: agreed,
    State.CANCELLED: agreed,
    State.IN_PROGRESS: submitted,
}
ENDINGS = {
    State.COMPLETED: ("released", "released"),
    State.REFUNDED: ("refunded", "refunded"),
    State.CLOSED_MIXED: ("released", "refunded"),
}


def milestone_in(state: MilestoneState) -> Deal:
    """A deal whose first milestone is in that state."""
    if state == MilestoneState.PENDING:
        return agreed()
    if state == MilestoneState.SUBMITTED:
        return submitted()
    if state == MilestoneState.RELEASE_REQUESTED:
        return blocked()
    if state == MilestoneState.CANCELLED:
        return escrow_in(State.CANCELLED)
    deal = funded()
    if state == MilestoneState.RELEASED:
        escrows.approve(actor=deal.buyer, public_id=deal.first.public_id)
    if state == MilestoneState.REFUNDED:
        escrows.refund(actor=deal.seller, public_id=deal.first.public_id)
    deal.escrow.refresh_from_db()
    return deal


def books(deal: Deal) -> tuple[int, int, int, int]:
    """What a refusal keeps: the balances of the deal, and how many transfers there are."""
    return deal.held, deal.sellers, deal.buyers, LedgerTransfer.objects.count()
