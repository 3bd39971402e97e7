"""Escrow's part of the export of an account's data, and of its erasure."""

from __future__ import annotations

from typing import Any

from django.db.models import Q

from accounts import erasure, export
from accounts.models import User
from escrow import ledger
from escrow.escrows import cancel
from escrow.escrows.selectors import escrows_of
from escrow.models import Escrow, EscrowEventText, Invitation, MilestoneEventText
from escrow.states import OPEN, State

KEPT_WHY = (
    "Agreements and movements of money are kept, as the law requires of books, also after the account is"
    " deleted. Then they name the account by a number only."
)


def register() -> None:
    export.register(name="escrow", collect=collect)
    erasure.register(name="escrow", refuse=refuse, erase=erase)


def collect(person: User) -> dict[str, Any]:
    """Returns the person's escrows and balances, without the other parties."""
    return {
        "kept": KEPT_WHY,
        "escrows": [
            collected(escrow, person) for escrow in escrows_of(person).prefetch_related("milestones")
        ],
        "balances": [
            {"kind": account.kind.value, "currency": account.currency, "amount_minor": amount}
            for account, amount in ledger.balances_of(person.pk).items()
        ],
    }


def collected(escrow: Escrow, person: User) -> dict[str, Any]:
    return {
        "id": str(escrow.public_id),
        "role": "buyer" if escrow.buyer_id == person.pk else "seller",
        "state": escrow.state,
        "currency": escrow.currency,
        "created_at": escrow.created_at,
        "agreed_at": escrow.agreed_at,
        "closed_at": escrow.closed_at,
        "terms": escrow.terms.document if escrow.terms else None,
        "milestones": [
            {
                "title": milestone.title,
                "amount_minor": milestone.amount_minor,
                "released_minor": milestone.released_minor,
                "refunded_minor": milestone.refunded_minor,
                "state": milestone.state,
            }
            for milestone in escrow.milestones.all()
        ],
    }


def refuse(person: User) -> str | None:
    """Returns why the account has to stay for now: an open escrow, or money that is the person's."""
    mine = Q(buyer_id=person.pk) | Q(seller_id=person.pk)
    if Escrow.objects.filter(mine, state__in=OPEN).exclude(state=State.DRAFT).exists():
        return "You are a party of an escrow that has not ended. Finish or cancel it first."
    if any(ledger.balances_of(person.pk).values()):
        return "Amani holds money of yours. Have it paid out first."
    return None


def erase(person: User) -> None:
    """Deletes what the person wrote about steps, and the addresses that they invited."""
    for draft in Escrow.objects.filter(creator=person, state=State.DRAFT):
        cancel(actor=person, public_id=draft.public_id)
    EscrowEventText.objects.filter(event__actor=person).delete()
    MilestoneEventText.objects.filter(event__actor=person).delete()
    Invitation.objects.filter(invited_by=person, state=Invitation.State.OPEN).update(
        state=Invitation.State.OVER, email=""
    )
