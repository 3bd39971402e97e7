"""Moves the money of a locked milestone: the legs of each step. A debit is negative.

    step           held (the escrow)                    payable (seller)     refundable (buyer)  platform fee
    release of x   -(x + buyer's part of the fee)       x - seller's part                        both parts
    refund         -(rest + buyer's fee not taken yet)                       the same
    part payment   -what came                                                the same

A milestone's fee is taken as its amount is released (`fees.taken`). Only a release uses a limit, the seller's
of what is held at one time: who gets their own money back is never refused.
"""

from __future__ import annotations

from typing import NamedTuple

from core.states import By
from escrow import ledger, metrics, stops
from escrow.escrows import fees
from escrow.escrows.transitions import change_milestone
from escrow.ledger import Leg, TransferKind
from escrow.models import Escrow, Milestone
from escrow.states import MilestoneStep


class Split(NamedTuple):
    """Where the money of one release goes."""

    held_minor: int
    seller_minor: int
    fee_minor: int


def split_of(milestone: Milestone, amount_minor: int) -> Split:
    """Returns the split of a release of `amount_minor`, which is at most the rest."""
    buyer_part, seller_part = (
        fees.taken(fee, milestone.amount_minor, milestone.released_minor + amount_minor)
        - fees.taken(fee, milestone.amount_minor, milestone.released_minor)
        for fee in (milestone.buyer_fee_minor, milestone.seller_fee_minor)
    )
    return Split(amount_minor + buyer_part, amount_minor - seller_part, buyer_part + seller_part)


def back_of(milestone: Milestone) -> int:
    """Returns what the buyer gets back with the rest: it, and the part of their fee that was not taken."""
    fee_taken = fees.taken(milestone.buyer_fee_minor, milestone.amount_minor, milestone.released_minor)
    return milestone.rest_minor + milestone.buyer_fee_minor - fee_taken


def release(
    escrow: Escrow, milestone: Milestone, step: MilestoneStep, by: By, amount_minor: int, split: Split
) -> None:
    """Posts the release and changes the milestone. The caller has used the seller's limit.

    Raises MoneyStopped while the books are wrong.
    """
    stops.refuse_while_stopped()
    ledger.post(
        kind=TransferKind.RELEASE,
        key=key_of(milestone, "release"),
        legs=release_legs(escrow, split),
        escrow_id=escrow.pk,
        milestone_id=milestone.pk,
        actor_id=by.actor_id,
    )
    released = milestone.released_minor + amount_minor
    change_milestone(milestone, step, by, amount_minor=amount_minor, released_minor=released)
    metrics.count_after_commit("release", "completed")


def release_legs(escrow: Escrow, split: Split) -> list[Leg]:
    legs = [
        Leg(ledger.held(escrow.pk, escrow.currency), -split.held_minor),
        Leg(ledger.payable(parties_of(escrow).seller_id, escrow.currency), split.seller_minor),
        Leg(ledger.platform_fee(escrow.currency), split.fee_minor),
    ]
    return [leg for leg in legs if leg.amount_minor]


def give_back_rest(
    escrow: Escrow, milestone: Milestone, step: MilestoneStep, by: By, *, reason: str = ""
) -> None:
    """Returns the rest of a milestone to the buyer and ends it: a refund of the seller, or a cancellation."""
    rest = milestone.rest_minor
    post_refund(
        escrow, key_of(milestone, "refund"), back_of(milestone), by.actor_id, milestone_id=milestone.pk
    )
    refunded = milestone.refunded_minor + rest
    change_milestone(milestone, step, by, reason=reason, amount_minor=rest, refunded_minor=refunded)


def return_part_payment(escrow: Escrow, actor_id: int | None) -> None:
    """Returns what came for an escrow that ends before all of it came."""
    post_refund(escrow, f"escrow:{escrow.pk}:refund", escrow.funded_minor, actor_id)


def post_refund(
    escrow: Escrow, key: str, amount_minor: int, actor_id: int | None, *, milestone_id: int | None = None
) -> None:
    ledger.post(
        kind=TransferKind.REFUND,
        key=key,
        legs=[
            Leg(ledger.held(escrow.pk, escrow.currency), -amount_minor),
            Leg(ledger.refundable(parties_of(escrow).buyer_id, escrow.currency), amount_minor),
        ],
        escrow_id=escrow.pk,
        milestone_id=milestone_id,
        actor_id=actor_id,
    )
    metrics.count_after_commit("refund", "completed")


def key_of(milestone: Milestone, what: str) -> str:
    """Returns the ledger's key of the milestone's next step. It is used once: a step changes the version."""
    return f"milestone:{milestone.pk}:{what}:{milestone.version}"


class Parties(NamedTuple):
    buyer_id: int
    seller_id: int


def parties_of(escrow: Escrow) -> Parties:
    """Returns both parties of an escrow that holds money; the database has no such escrow without them."""
    if escrow.buyer_id is None or escrow.seller_id is None:
        raise RuntimeError("Only an agreed escrow holds money, and it has two parties.")
    return Parties(escrow.buyer_id, escrow.seller_id)
