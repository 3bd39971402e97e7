"""Locks escrows, and applies the steps of the tables in escrow/states.py with an event row for each.

Locking order, for all code: the idempotency key; persons by id; the escrow; its milestones by id; payout or
collection; limit usage; balances of the ledger (customers by account id, the house last). So what happens to
one escrow happens one after another, and no two transactions wait for each other. No HTTP inside of one.
"""

from __future__ import annotations

from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection
from django.db.models import Q
from django.utils import timezone

from accounts.models import User
from core.encryption import encrypt
from core.request_id import current_request_id
from core.states import By, Transition, move
from escrow.errors import (
    EscrowNotFound,
    Frozen,
    MilestoneNotFound,
    NotAllowed,
    StepRefused,
    VersionChanged,
)
from escrow.models import (
    Escrow,
    EscrowEvent,
    EscrowEventText,
    EscrowTerms,
    Milestone,
    MilestoneEventText,
)
from escrow.states import (
    ENDS,
    MILESTONE_ENDS,
    MILESTONE_TRANSITIONS,
    NEGOTIATED,
    TIMED,
    TRANSITIONS,
    Event,
    MilestoneState,
    MilestoneStep,
    State,
    Who,
)

LONGEST_REASON = 2_000
# All columns that a step may change, and its event.
STEP = """
WITH milestone AS (
    UPDATE escrow_milestone
       SET state = %(state)s, version = %(version)s, state_since = %(state_since)s,
           submitted_at = %(submitted_at)s, auto_release_at = %(auto_release_at)s,
           released_minor = %(released_minor)s, refunded_minor = %(refunded_minor)s, closed_at = %(closed_at)s
     WHERE id = %(id)s
)
INSERT INTO escrow_milestoneevent
       (milestone_id, at, event, from_state, to_state, actor_id, provider, request_id, amount_minor)
VALUES (%(id)s, %(at)s, %(event)s, %(before)s, %(state)s, %(actor)s, %(provider)s, %(request_id)s, %(amount)s)
RETURNING id
"""
SYSTEM = By(Who.SYSTEM)


class Locked(NamedTuple):
    """An escrow and all its milestones by id, locked in the caller's transaction."""

    escrow: Escrow
    milestones: list[Milestone]

    def milestone(self, milestone_id: int) -> Milestone:
        return next(milestone for milestone in self.milestones if milestone.pk == milestone_id)


# --- Locks ---


def lock_people(*person_ids: int) -> dict[int, User]:
    """Locks people before a new row refers to them. Raises NotAllowed for a closed or erased account."""
    rows = User.objects.select_for_update(no_key=True).filter(pk__in=person_ids).order_by("pk")
    people = {person.pk: person for person in rows if person.erased_at is None and person.is_active}
    if len(people) < len(set(person_ids)):
        raise NotAllowed("This account is closed.")
    return people


def lock(escrow_id: int, *, skip_locked: bool = False) -> Locked:
    """Locks an escrow and its milestones. Raises EscrowNotFound, with `skip_locked` also if it is locked."""
    rows = Escrow.objects.select_for_update(no_key=True, skip_locked=skip_locked)
    escrow = rows.filter(pk=escrow_id).first()
    if escrow is None:
        raise EscrowNotFound
    if escrow.state in NEGOTIATED:
        return Locked(escrow, [])
    found = Milestone.objects.select_for_update(no_key=True).filter(escrow_id=escrow.pk).order_by("pk")
    return Locked(escrow, list(found))


def lock_for_party(actor: User, public_id: UUID, *, if_version: int | None = None) -> Locked:
    """Locks an escrow of the actor. Raises EscrowNotFound, also for another person's, or VersionChanged."""
    escrow_id = of_party(actor).filter(public_id=public_id).values_list("pk", flat=True).first()
    if escrow_id is None:
        raise EscrowNotFound
    locked = lock(escrow_id)
    refuse_another_version(locked.escrow, if_version)
    return locked


def lock_milestone(
    actor: User, public_id: UUID, *, if_version: int | None = None
) -> tuple[Locked, Milestone]:
    """Locks the escrow and milestones of a milestone, with one statement, because each release does it.

    Raises MilestoneNotFound, also for another person's, or VersionChanged.
    """
    mine = Milestone.objects.filter(public_id=public_id, escrow__in=of_party(actor))
    # PostgreSQL locks row after row in this order, and in each row in the order of `of`: the escrow first.
    rows = Milestone.objects.select_for_update(no_key=True, of=("escrow", "self")).select_related("escrow")
    milestones = list(rows.filter(escrow_id=mine.values("escrow_id")[:1]).order_by("pk"))
    if not milestones:
        raise MilestoneNotFound
    escrow = milestones[0].escrow
    for milestone in milestones:
        milestone.escrow = escrow  # one object, so that a change of it is seen everywhere
    found = next(milestone for milestone in milestones if milestone.public_id == public_id)
    refuse_another_version(found, if_version)
    return Locked(escrow, milestones), found


def of_party(person: User) -> Any:
    return Escrow.objects.filter(Q(buyer_id=person.pk) | Q(seller_id=person.pk)).order_by()


def refuse_another_version(row: Escrow | Milestone, version: int | None) -> None:
    if version is not None and version != row.version:
        raise VersionChanged(row.version)


def current_terms(escrow: Escrow) -> EscrowTerms:
    """Returns the terms of an escrow; services write some in the transaction that makes it."""
    if escrow.terms is None:
        raise RuntimeError("An escrow has terms.")
    return escrow.terms


# --- Parts ---


def parts_of(escrow: Escrow, actor: User) -> frozenset[Who]:
    """Returns the parts in which a party may act."""
    parts = sides_of(escrow, actor)
    if parts and escrow.terms is not None:
        parts |= {Who.PROPOSER if escrow.terms.proposed_by_id == actor.pk else Who.ANSWERER}
    return parts


def sides_of(escrow: Escrow, actor: User) -> frozenset[Who]:
    """Returns the side of a party: all that matters once the terms are agreed."""
    sides = ((Who.BUYER, escrow.buyer_id), (Who.SELLER, escrow.seller_id))
    return frozenset(who for who, person_id in sides if person_id == actor.pk)


def by_party(escrow: Escrow, actor: User, event: Event) -> By:
    """Returns the actor in the part that may cause the event. Raises StepRefused."""
    step = TRANSITIONS.find(escrow.state, event)
    parts = parts_of(escrow, actor) & step.who if step else frozenset()
    if not parts:
        raise StepRefused("escrow", escrow.state, event)
    return By(min(parts), actor.pk)


def by_party_of(milestone: Milestone, escrow: Escrow, actor: User, step: MilestoneStep) -> By:
    row = MILESTONE_TRANSITIONS.find(milestone.state, step)
    parts = sides_of(escrow, actor) & row.who if row else frozenset()
    if not parts:
        raise StepRefused("milestone", milestone.state, step)
    return By(min(parts), actor.pk)


# --- Steps ---


def require(escrow: Escrow, event: Event, by: By) -> Transition[State, Event, Who]:
    """Returns the transition. Raises StepRefused."""
    step = TRANSITIONS.allowed(escrow.state, event, by)
    if step is None:
        raise StepRefused("escrow", escrow.state, event)
    return step


def require_step(
    milestone: Milestone, step: MilestoneStep, by: By
) -> Transition[MilestoneState, MilestoneStep, Who]:
    row = MILESTONE_TRANSITIONS.allowed(milestone.state, step, by)
    if row is None:
        raise StepRefused("milestone", milestone.state, step)
    return row


def refuse_frozen(escrow: Escrow) -> None:
    if escrow.frozen_at is not None:
        raise Frozen


def change(
    escrow: Escrow, event: Event, by: By, *, reason: str = "", amount_minor: int | None = None, **fields: Any
) -> EscrowEvent:
    """Applies the event to a locked escrow, in the caller's transaction. Raises StepRefused."""
    step = require(escrow, event, by)
    if step.target != step.source:
        fields["state_since"] = timezone.now()
    if step.target in ENDS:
        fields |= {"closed_at": timezone.now(), "cancel_asked_by_id": None, "frozen_at": None}
    entry: EscrowEvent = move(escrow, step, by, fields, escrow.events, amount_minor=amount_minor)
    if reason:
        EscrowEventText.objects.create(event=entry, encrypted=encrypt(reason[:LONGEST_REASON].encode()))
    return entry


def change_milestone(
    milestone: Milestone,
    event: MilestoneStep,
    by: By,
    *,
    reason: str = "",
    amount_minor: int | None = None,
    **fields: Any,
) -> None:
    """Applies the event to a locked milestone. Its time ends with the states that have one."""
    step = require_step(milestone, event, by)
    if step.target != step.source:
        fields["state_since"] = timezone.now()
    if step.target not in TIMED:
        fields["auto_release_at"] = None
    if step.target in MILESTONE_ENDS:
        fields |= {"closed_at": timezone.now()}
    if not fields.keys() <= columns_of(milestone).keys():
        raise TypeError(f"STEP does not write all of {', '.join(fields)}.")
    for name, value in fields.items():
        setattr(milestone, name, value)
    event_id = write_step(milestone, step, by, amount_minor)
    if reason:
        encrypted = encrypt(reason[:LONGEST_REASON].encode())
        MilestoneEventText.objects.create(event_id=event_id, encrypted=encrypted)


def write_step(
    milestone: Milestone,
    step: Transition[MilestoneState, MilestoneStep, Who],
    by: By,
    amount_minor: int | None,
) -> int:
    """Sets the new state, saves what a step may change, and appends the event. Returns the event's id.

    It does what `move` does, with one statement, because each release does it twice.
    """
    before, milestone.state, milestone.version = milestone.state, step.target, milestone.version + 1
    event = {
        "at": timezone.now(),
        "event": step.event.value,
        "before": str(before),
        "actor": by.actor_id,
        "provider": by.provider,
        "request_id": current_request_id(),
        "amount": amount_minor,
    }
    with connection.cursor() as cursor:
        cursor.execute(STEP, columns_of(milestone) | event)
        return int(cursor.fetchone()[0])


def columns_of(milestone: Milestone) -> dict[str, Any]:
    return {
        "id": milestone.pk,
        "state": str(milestone.state),
        "version": milestone.version,
        "state_since": milestone.state_since,
        "submitted_at": milestone.submitted_at,
        "auto_release_at": milestone.auto_release_at,
        "released_minor": milestone.released_minor,
        "refunded_minor": milestone.refunded_minor,
        "closed_at": milestone.closed_at,
    }
