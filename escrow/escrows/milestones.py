"""Changes milestones: delivery, acceptance, release and refund.

Each function is one transaction that locks the escrow first (transitions.py), and refuses while it is frozen.
`if_version`: refuse if the milestone has changed since.
"""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from accounts.models import User
from core.states import By
from escrow.errors import CannotReceive, ReasonMissing, WrongAmount
from escrow.escrows import money
from escrow.escrows.ends import follow
from escrow.escrows.receiving import may_receive
from escrow.escrows.terms import amount_from
from escrow.escrows.texts import text_from
from escrow.escrows.transitions import (
    LONGEST_REASON,
    SYSTEM,
    Locked,
    by_party_of,
    change_milestone,
    current_terms,
    lock_milestone,
    refuse_frozen,
)
from escrow.models import Escrow, Milestone
from escrow.states import MilestoneStep
from kyc.standing import Standing


@transaction.atomic
def submit(*, actor: User, public_id: UUID, if_version: int | None = None) -> Milestone:
    """Says that the milestone is delivered. From now on the buyer has the agreed days to look at it."""
    locked, milestone, by = begin(actor, public_id, MilestoneStep.SUBMIT, if_version)
    now = timezone.now()
    until = now + timedelta(days=inspection_days(locked.escrow))
    change_milestone(milestone, MilestoneStep.SUBMIT, by, submitted_at=now, auto_release_at=until)
    follow(locked, by)
    return milestone


@transaction.atomic
def reject(*, actor: User, public_id: UUID, reason: str, if_version: int | None = None) -> Milestone:
    """Sends a delivery back with the reason, which the seller reads. The inspection ends."""
    words = text_from(reason, "reason", longest=LONGEST_REASON)
    if not words:
        raise ReasonMissing
    _, milestone, by = begin(actor, public_id, MilestoneStep.REJECT, if_version)
    change_milestone(milestone, MilestoneStep.REJECT, by, reason=words, submitted_at=None)
    return milestone


@transaction.atomic
def approve(*, actor: User, public_id: UUID, if_version: int | None = None) -> Milestone:
    """Accepts the milestone and releases its rest to the seller.

    If the seller cannot receive it yet (their limit, their KYC), the milestone stays `release_requested`, and
    the sweep releases it as soon as they can.
    """
    locked, milestone, by = begin(actor, public_id, MilestoneStep.APPROVE, if_version)
    change_milestone(milestone, MilestoneStep.APPROVE, by, auto_release_at=timezone.now())
    release_rest(locked, milestone, By(SYSTEM.who, by.actor_id))
    follow(locked, by)
    return milestone


@transaction.atomic
def release_partially(
    *, actor: User, public_id: UUID, amount_minor: int, if_version: int | None = None
) -> Milestone:
    """Releases a part of the milestone, less than its rest. Raises WrongAmount or CannotReceive."""
    amount = amount_from(amount_minor, "amount_minor")
    locked, milestone, by = begin(actor, public_id, MilestoneStep.RELEASE_PART, if_version)
    if amount >= milestone.rest_minor:
        raise WrongAmount(
            "A part is less than what is left. To release all of it, approve it.", "amount_minor"
        )
    split = money.split_of(milestone, amount)
    if not may_receive(locked.escrow, split.seller_minor):
        raise CannotReceive
    money.release(locked.escrow, milestone, MilestoneStep.RELEASE_PART, by, amount, split)
    follow(locked, by)
    return milestone


@transaction.atomic
def refund(*, actor: User, public_id: UUID, reason: str = "", if_version: int | None = None) -> Milestone:
    """Gives the rest of the milestone back to the buyer, with the fee that was not taken yet."""
    words = text_from(reason, "reason", longest=LONGEST_REASON)
    locked, milestone, by = begin(actor, public_id, MilestoneStep.REFUND, if_version)
    money.give_back_rest(locked.escrow, milestone, MilestoneStep.REFUND, by, reason=words)
    follow(locked, by)
    return milestone


# --- Steps of the above, in its transaction ---


def begin(
    actor: User, public_id: UUID, step: MilestoneStep, if_version: int | None
) -> tuple[Locked, Milestone, By]:
    """Locks the milestone for a step. Raises MilestoneNotFound, VersionChanged, StepRefused or Frozen."""
    locked, milestone = lock_milestone(actor, public_id, if_version=if_version)
    by = by_party_of(milestone, locked.escrow, actor, step)
    refuse_frozen(locked.escrow)
    return locked, milestone, by


def inspection_days(escrow: Escrow) -> int:
    return int(current_terms(escrow).document["inspection_days"])


def release_rest(locked: Locked, milestone: Milestone, by: By, standing: Standing | None = None) -> bool:
    """Releases the rest of a milestone, or postpones it if the seller cannot receive it now.

    `standing`: the seller's, if it was just read.
    """
    split = money.split_of(milestone, milestone.rest_minor)
    if not may_receive(locked.escrow, split.seller_minor, standing):
        postpone(milestone)
        return False
    money.release(locked.escrow, milestone, MilestoneStep.RELEASE, by, milestone.rest_minor, split)
    return True


def postpone(milestone: Milestone) -> None:
    """Lets the sweep look again later. Not an event: nothing happened."""
    milestone.auto_release_at = timezone.now() + timedelta(seconds=settings.ESCROW_RELEASE_RETRY_SECONDS)
    milestone.save(update_fields=["auto_release_at"])
