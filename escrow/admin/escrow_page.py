"""Builds the context of an escrow's page, with a number of queries that does not grow with its history."""

from __future__ import annotations

from itertools import chain
from typing import Any, NamedTuple

from django.db.models import Prefetch

from accounts.models import User
from core.console.display import Badge
from escrow import ledger
from escrow.badges import MILESTONE_BADGES, STATE_BADGES, collection_badge, event_badge, payment_provider
from escrow.models import (
    Escrow,
    EscrowEvent,
    EscrowTerms,
    LedgerAccount,
    LedgerEntry,
    LedgerTransfer,
    Milestone,
    MilestoneEvent,
    ProviderCall,
)
from escrow.models.chart import AccountKind
from escrow.roles import FREEZE_ESCROW, SEE_PAYMENTS, VIEW_ACCOUNT, VIEW_TRANSFER
from escrow.states import TRANSITIONS, Event, MilestoneState, State, Who

MOST_EVENTS = 200
MOST_TRANSFERS = 30
MOST_VERSIONS = 20
MOST_INVITATIONS = 10
MOST_COLLECTIONS = 20
MOST_CALLS = 20


class Line(NamedTuple):
    """One line of the timeline. `seq`: the milestone's place; None for the escrow itself."""

    event: EscrowEvent | MilestoneEvent
    badge: Badge
    by: str
    seq: int | None


class Row(NamedTuple):
    """A milestone in the table, with what of its agreed text is in the terms."""

    milestone: Milestone
    badge: Badge
    criteria: str


def page_context(escrow: Escrow, user: User) -> dict[str, Any]:
    is_party = user.pk in (escrow.buyer_id, escrow.seller_id)
    document = escrow.terms.document if escrow.terms else {}
    milestones = rows_of(escrow, document)
    return {
        "title": f"Escrow {escrow.pk}",
        "badge": STATE_BADGES[State(escrow.state)],
        "document": document,
        "milestones": milestones,
        "held_minor": ledger.balance_of(ledger.held(escrow.pk, escrow.currency)),
        "released_minor": sum(row.milestone.released_minor for row in milestones),
        "refunded_minor": sum(row.milestone.refunded_minor for row in milestones),
        "versions": versions_of(escrow),
        "invitations": list(escrow.invitations.order_by("-id")[:MOST_INVITATIONS]),
        "is_party": is_party,
        "may": offered(escrow, user, is_party=is_party),
        "timeline": timeline(escrow),
        **money_context(escrow, user),
        **payments_context(escrow, user),
    }


def rows_of(escrow: Escrow, document: dict[str, Any]) -> list[Row]:
    """Returns the milestones; before the agreement those of the proposed terms, which are no rows yet."""
    agreed = document.get("milestones", [])
    criteria = {place: part.get("criteria", "") for place, part in enumerate(agreed, start=1)}
    rows = list(escrow.milestones.order_by("seq")) or [
        Milestone(
            escrow=escrow,
            seq=place,
            title=part["title"],
            amount_minor=part["amount_minor"],
            buyer_fee_minor=part["buyer_fee_minor"],
            seller_fee_minor=part["seller_fee_minor"],
        )
        for place, part in enumerate(agreed, start=1)
    ]
    return [Row(row, MILESTONE_BADGES[MilestoneState(row.state)], criteria.get(row.seq, "")) for row in rows]


def offered(escrow: Escrow, user: User, *, is_party: bool) -> Event | None:
    """Returns what the operator can do now: freeze it, unfreeze it, end it while it is short, or nothing."""
    if is_party or not user.has_perm(FREEZE_ESCROW):
        return None
    event = Event.UNFREEZE if escrow.frozen_at else Event.FREEZE
    event = Event.END_SHORT if escrow.short_minor else event
    return event if event in TRANSITIONS.events_for(escrow.state, Who.OPERATOR) else None


def versions_of(escrow: Escrow) -> list[EscrowTerms]:
    """Returns the newest versions of the terms without their texts, with who agreed to each."""
    versions = escrow.versions.defer("document").select_related("proposed_by")
    return list(versions.order_by("-number").prefetch_related("agreements")[:MOST_VERSIONS])


def timeline(escrow: Escrow) -> list[Line]:
    """Returns the newest events of the escrow and of its milestones, the newest first."""
    own = escrow.events.select_related("actor", "written").order_by("-id")[:MOST_EVENTS]
    parts = MilestoneEvent.objects.filter(milestone__escrow=escrow)
    parts = parts.select_related("actor", "written", "milestone").order_by("-id")[:MOST_EVENTS]
    lines = chain(
        (Line(event, event_badge(event.event), doer(event, escrow), None) for event in own),
        (Line(part, event_badge(part.event), doer(part, escrow), part.milestone.seq) for part in parts),
    )
    return sorted(lines, key=lambda line: (line.event.at, line.seq or 0), reverse=True)[:MOST_EVENTS]


def doer(event: EscrowEvent | MilestoneEvent, escrow: Escrow) -> str:
    """Returns who caused the event, in words."""
    if event.provider:
        return payment_provider(event.provider)
    if event.actor is None:
        return "Amani"
    if event.actor_id == escrow.buyer_id:
        return "the buyer"
    if event.actor_id == escrow.seller_id:
        return "the seller"
    return event.actor.get_full_name() or event.actor.email


def money_context(escrow: Escrow, user: User) -> dict[str, Any]:
    """Returns the transfers with their entries, for operators who may see them, and the escrow's account."""
    held = LedgerAccount.objects.filter(
        owner=str(escrow.pk), kind=AccountKind.ESCROW_HELD, currency=escrow.currency
    )
    entries = LedgerEntry.objects.select_related("account").order_by("transfer_id", "position")
    transfers = (
        LedgerTransfer.objects.filter(escrow_id=escrow.pk)
        .defer("request_hash")
        .prefetch_related(Prefetch("entries", queryset=entries))
        .order_by("-id")[: MOST_TRANSFERS + 1]
    )
    found = list(transfers) if user.has_perm(VIEW_TRANSFER) else None
    return {
        "account_id": held.values_list("pk", flat=True).first() if user.has_perm(VIEW_ACCOUNT) else None,
        "transfers": found[:MOST_TRANSFERS] if found is not None else None,
        "has_more_transfers": found is not None and len(found) > MOST_TRANSFERS,
        "may_see_accounts": user.has_perm(VIEW_ACCOUNT),
    }


def payments_context(escrow: Escrow, user: User) -> dict[str, Any]:
    """Returns the collections and what their providers were asked, for operators who may see them."""
    if not user.has_perms(SEE_PAYMENTS):
        return {"collections": None}
    collections = list(escrow.collections.order_by("-id")[:MOST_COLLECTIONS])
    calls = ProviderCall.objects.filter(collection__in=[row.pk for row in collections])
    return {
        "collections": [(row, collection_badge(row.state)) for row in collections],
        "calls": list(calls.order_by("-id")[:MOST_CALLS]),
    }
