"""Locks escrows, and applies the steps of the tables in escrow/states.py with an event row for each.

Locking order, for all code: the idempotency key; persons by id; the escrow; its milestones by id; payout or
collection; limit usage; balances of the ledger (customers by account id, the house last). So what happens to
one escrow happens one after another, and no two transactions wait for each other. No HTTP inside of one.
"""

from __future__ import annotations

from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import Q
from django.utils import timezone

from accounts.models import User
from core.encryption import encrypt
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
    MilestoneEvent,
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
    """Locks the escrow and milestones of a milestone. Raises MilestoneNotFound, also for another person's."""
    mine = Milestone.objects.filter(public_id=public_id, escrow__in=of_party(actor))
    found = mine.values_list("escrow_id", "pk").first()
    if found is None:
        raise MilestoneNotFound
    locked = lock(found[0])
    milestone = locked.milestone(found[1])
    refuse_another_version(milestone, if_version)
    return locked, milestone


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
    parts: set[Who] = set()
    if escrow.buyer_id == actor.pk:
        parts.add(Who.BUYER)
    if escrow.seller_id == actor.pk:
        parts.add(Who.SELLER)
    if parts and escrow.terms is not None:
        parts.add(Who.PROPOSER if escrow.terms.proposed_by_id == actor.pk else Who.ANSWERER)
    return frozenset(parts)


def by_party(escrow: Escrow, actor: User, event: Event) -> By:
    """Returns the actor in the part that may cause the event. Raises StepRefused."""
    step = TRANSITIONS.find(escrow.state, event)
    parts = parts_of(escrow, actor) & step.who if step else frozenset()
    if not parts:
        raise StepRefused("escrow", escrow.state, event)
    return By(min(parts), actor.pk)


def by_party_of(milestone: Milestone, escrow: Escrow, actor: User, step: MilestoneStep) -> By:
    row = MILESTONE_TRANSITIONS.find(milestone.state, step)
    parts = parts_of(escrow, actor) & row.who if row else frozenset()
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
) -> MilestoneEvent:
    """Applies the event to a locked milestone. Its time ends with the states that have one."""
    step = require_step(milestone, event, by)
    if step.target != step.source:
        fields["state_since"] = timezone.now()
    if step.target not in TIMED:
        fields["auto_release_at"] = None
    if step.target in MILESTONE_ENDS:
        fields |= {"closed_at": timezone.now()}
    entry: MilestoneEvent = move(milestone, step, by, fields, milestone.events, amount_minor=amount_minor)
    if reason:
        MilestoneEventText.objects.create(event=entry, encrypted=encrypt(reason[:LONGEST_REASON].encode()))
    return entry
