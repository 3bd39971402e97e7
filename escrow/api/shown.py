"""Shows escrows and milestones to one of their parties, without who the other one is."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from pydantic import Field

from accounts.models import User
from escrow.api.schemas import CURRENCY, EscrowState, EscrowStep, Money, Strict, money
from escrow.api.terms import TermsShown, terms_shown
from escrow.escrows.selectors import actions_for, milestone_actions_for
from escrow.models import Escrow, Milestone, Role
from escrow.states import MilestoneState, MilestoneStep, State


class MilestoneShown(Strict):
    id: UUID
    escrow: UUID
    number: int = Field(description="Its place in the escrow, from 1.")
    title: str
    state: MilestoneState
    version: int = Field(description='Its ETag is `"<version>"`; a change needs it as If-Match.')
    amount: Money
    released: Money = Field(description="What the seller got of the amount, with the fee on it.")
    refunded: Money = Field(description="What went back to the buyer of the amount.")
    submitted_at: datetime | None
    auto_release_at: datetime | None = Field(description="When it is released without the buyer.")
    closed_at: datetime | None
    steps: list[MilestoneStep] = Field(description="What you can do with it now.")


class EscrowShown(Strict):
    id: UUID
    state: EscrowState
    version: int = Field(description='Its ETag is `"<version>"`; a change needs it as If-Match.')
    role: Role = Field(description="Yours.")
    other_party_joined: bool = Field(description="Whether the other party has an account in it.")
    currency: str = Field(pattern=CURRENCY, examples=["NGN"])
    terms: TermsShown | None = Field(description="The current version.")
    due: Money = Field(description="What the buyer pays.")
    funded: Money = Field(description="What arrived of it.")
    short: Money = Field(
        description="What it holds less than its milestones say, because a payment was taken back. It is "
        "frozen until the buyer has paid this in (`fund`), or Amani ends it with what it holds; then this is "
        "what was still missing."
    )
    created_at: datetime
    agreed_at: datetime | None
    expires_at: datetime | None = Field(description="When the draft, the proposal or the time to pay ends.")
    frozen: bool = Field(description="No money leaves it while Amani looks into it.")
    cancel_asked_by: Role | None = Field(description="Who asked to cancel it after it was funded.")
    closed_at: datetime | None
    milestones: list[MilestoneShown] = Field(description="Made when both have agreed.")
    steps: list[EscrowStep] = Field(description="What you can do with it now.")


def role_in(escrow: Escrow, person_id: int | None) -> Role | None:
    """Returns the part of the person in the escrow; None if they are no party."""
    if person_id is None:
        return None
    return {escrow.buyer_id: Role.BUYER, escrow.seller_id: Role.SELLER}.get(person_id)


def own_role(escrow: Escrow, user: User) -> Role:
    return Role.BUYER if escrow.buyer_id == user.pk else Role.SELLER


def terms_of(escrow: Escrow) -> TermsShown | None:
    terms = escrow.terms
    if terms is None:
        return None
    proposed_by = role_in(escrow, terms.proposed_by_id) or Role.BUYER
    return terms_shown(terms.document, number=terms.number, hash_=terms.hash, proposed_by=proposed_by)


def milestone_shown(milestone: Milestone, escrow: Escrow, user: User) -> MilestoneShown:
    return MilestoneShown(
        id=milestone.public_id,
        escrow=escrow.public_id,
        number=milestone.seq,
        title=milestone.title,
        state=MilestoneState(milestone.state),
        version=milestone.version,
        amount=money(milestone.amount_minor, escrow.currency),
        released=money(milestone.released_minor, escrow.currency),
        refunded=money(milestone.refunded_minor, escrow.currency),
        submitted_at=milestone.submitted_at,
        auto_release_at=milestone.auto_release_at,
        closed_at=milestone.closed_at,
        steps=milestone_actions_for(milestone, escrow, user),
    )


def escrow_shown(escrow: Escrow, user: User) -> EscrowShown:
    return EscrowShown(
        id=escrow.public_id,
        state=State(escrow.state),
        version=escrow.version,
        role=own_role(escrow, user),
        other_party_joined=escrow.buyer_id is not None and escrow.seller_id is not None,
        currency=escrow.currency,
        terms=terms_of(escrow),
        due=money(escrow.due_minor, escrow.currency),
        funded=money(escrow.funded_minor, escrow.currency),
        short=money(escrow.short_minor, escrow.currency),
        created_at=escrow.created_at,
        agreed_at=escrow.agreed_at,
        expires_at=escrow.expires_at,
        frozen=escrow.frozen_at is not None,
        cancel_asked_by=role_in(escrow, escrow.cancel_asked_by_id),
        closed_at=escrow.closed_at,
        milestones=[milestone_shown(one, escrow, user) for one in escrow.milestones.all()],
        steps=actions_for(escrow, user),
    )
