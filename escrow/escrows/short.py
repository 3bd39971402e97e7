"""Ends an escrow that is short: a payment of it was taken back, and is not paid in again.

What it still holds goes to the party that the operator chose. It is divided over the open milestones in their
order, each getting up to what is its own, until nothing is left:

    to the buyer    what the milestone's refund would be: its rest, and the buyer's fee that was not taken
    to the seller   as much of its rest as the money covers, with the fee on that, as in any release; a unit
                    that is too small to be released with its fee goes to the buyer

A milestone that is released whole ends as released, any other as cancelled, with the amounts that moved.
"""

from __future__ import annotations

from bisect import bisect_right

from django.db import transaction
from django.utils import timezone

from accounts.models import User
from core.states import By
from escrow import ledger, metrics, stops
from escrow.errors import CannotReceive, NotShort
from escrow.escrows import money
from escrow.escrows.ends import follow
from escrow.escrows.money import Split
from escrow.escrows.receiving import may_receive
from escrow.escrows.services import lock_for_operator
from escrow.escrows.transitions import SYSTEM, change, change_milestone, require
from escrow.ledger import TransferKind
from escrow.models import Escrow, Milestone, Role
from escrow.states import MILESTONE_ENDS, Event, MilestoneState, MilestoneStep, Who


@transaction.atomic
def end_short(*, escrow_id: int, operator: User, reason: str, to: Role) -> Escrow:
    """Ends the escrow with what it holds, all of which goes to the buyer or to the seller.

    Raises EscrowNotFound, NotAllowed, OwnEscrow, ReasonMissing, StepRefused, or NotShort; for the seller also
    CannotReceive (their limit, their KYC) and MoneyStopped. Then nothing has moved.
    """
    locked = lock_for_operator(escrow_id, operator, reason)
    escrow, by = locked.escrow, By(Who.OPERATOR, operator.pk)
    require(escrow, Event.END_SHORT, by)
    if not escrow.short_minor:
        raise NotShort
    left = ledger.balance_of(ledger.held(escrow.pk, escrow.currency))
    change(escrow, Event.END_SHORT, by, reason=reason.strip(), amount_minor=left or None)
    for milestone in locked.milestones:
        if milestone.state not in MILESTONE_ENDS:
            left = end_milestone(escrow, milestone, left, to, by)
    follow(locked, by)
    return escrow


def end_milestone(escrow: Escrow, milestone: Milestone, left: int, to: Role, by: By) -> int:
    """Ends a milestone with what of `left` is its own, and returns what is left for the next ones."""
    released = covered(milestone, left) if to == Role.SELLER else 0
    split = money.split_of(milestone, released)
    if released and not may_receive(escrow, split.seller_minor):
        raise CannotReceive
    left -= split.held_minor
    if released == milestone.rest_minor:
        award(escrow, milestone, by, split)
        return left
    if released:
        post_release(escrow, milestone, by, split)
    return left - give_back_and_cancel(escrow, milestone, released, left, by)


def covered(milestone: Milestone, left: int) -> int:
    """Returns how much of the milestone's rest `left` can release, with the buyer's fee on it."""
    amounts = range(milestone.rest_minor + 1)
    return bisect_right(amounts, left, key=lambda amount: money.split_of(milestone, amount).held_minor) - 1


def award(escrow: Escrow, milestone: Milestone, by: By, split: Split) -> None:
    """Releases the whole rest without the buyer's approval."""
    if milestone.state != MilestoneState.RELEASE_REQUESTED:
        change_milestone(milestone, MilestoneStep.AWARD, by, auto_release_at=timezone.now())
    system = By(SYSTEM.who, by.actor_id)
    money.release(escrow, milestone, MilestoneStep.RELEASE, system, milestone.rest_minor, split)


def post_release(escrow: Escrow, milestone: Milestone, by: By, split: Split) -> None:
    stops.refuse_while_stopped()
    ledger.post(
        kind=TransferKind.RELEASE,
        key=money.key_of(milestone, "release"),
        legs=money.release_legs(escrow, split),
        escrow_id=escrow.pk,
        milestone_id=milestone.pk,
        actor_id=by.actor_id,
    )
    metrics.count_after_commit("release", "completed")


def give_back_and_cancel(escrow: Escrow, milestone: Milestone, released: int, left: int, by: By) -> int:
    """Returns what of `left` went back to the buyer: counted as the amount first, then as their fee."""
    milestone.released_minor += released
    back = min(left, money.back_of(milestone))
    refunded = min(back, milestone.rest_minor)
    if back:
        key = money.key_of(milestone, "refund")
        money.post_refund(escrow, key, back, by.actor_id, milestone_id=milestone.pk)
    change_milestone(
        milestone,
        MilestoneStep.END_SHORT,
        by,
        amount_minor=released + refunded or None,
        released_minor=milestone.released_minor,
        refunded_minor=milestone.refunded_minor + refunded,
    )
    return back
