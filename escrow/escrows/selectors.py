"""Queries for escrows. Another person's escrow does not exist for the asker."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from django.db.models import Q, QuerySet

from accounts.models import User
from escrow.errors import EscrowNotFound, MilestoneNotFound
from escrow.escrows.transitions import parts_of
from escrow.models import Escrow, Milestone
from escrow.states import MILESTONE_TRANSITIONS, TRANSITIONS, Event, MilestoneStep


class Entry(NamedTuple):
    """One line of an escrow's timeline. `seq`: the milestone's place, None for the escrow itself."""

    at: datetime
    event: str
    from_state: str
    to_state: str
    actor_id: int | None
    amount_minor: int | None
    reason: str
    seq: int | None


def escrow_of(user: User, public_id: UUID) -> Escrow:
    """Returns the user's escrow with its terms. Raises EscrowNotFound, also for another person's."""
    escrow = escrows_of(user).filter(public_id=public_id).first()
    if escrow is None:
        raise EscrowNotFound
    return escrow


def milestone_of(user: User, public_id: UUID) -> Milestone:
    """Returns a milestone with its escrow. Raises MilestoneNotFound, also for another person's."""
    mine = Q(escrow__buyer_id=user.pk) | Q(escrow__seller_id=user.pk)
    found = Milestone.objects.select_related("escrow").filter(mine, public_id=public_id).first()
    if found is None:
        raise MilestoneNotFound
    return found


def escrows_of(user: User) -> QuerySet[Escrow]:
    """Selects the escrows in which the user is buyer or seller, newest first."""
    mine = Q(buyer_id=user.pk) | Q(seller_id=user.pk)
    return Escrow.objects.filter(mine).select_related("terms").order_by("-pk")


def timeline_of(escrow: Escrow) -> list[Entry]:
    """Returns what happened to the escrow and its milestones, oldest first. Four queries."""
    own = [(event, None) for event in escrow.events.select_related("written")]
    parts = [
        (event, milestone.seq)
        for milestone in escrow.milestones.prefetch_related("events__written")
        for event in milestone.events.all()
    ]
    entries = [
        Entry(
            event.at,
            event.event,
            event.from_state,
            event.to_state,
            event.actor_id,
            event.amount_minor,
            event.reason,
            seq,
        )
        for event, seq in (*own, *parts)
    ]
    return sorted(entries, key=lambda entry: (entry.at, entry.seq or 0))


def actions_for(escrow: Escrow, user: User) -> list[Event]:
    """Returns what the party may do with the escrow now, by the table."""
    parts = parts_of(escrow, user)
    return [row.event for row in TRANSITIONS.rows if row.source == escrow.state and row.who & parts]


def milestone_actions_for(milestone: Milestone, escrow: Escrow, user: User) -> list[MilestoneStep]:
    parts = parts_of(escrow, user)
    rows = MILESTONE_TRANSITIONS.rows
    return [row.event for row in rows if row.source == milestone.state and row.who & parts]
