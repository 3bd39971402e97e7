"""Serves what happened to an escrow: its timeline, and the entries of its account in the ledger."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from django.http import HttpRequest
from ninja import Router
from pydantic import Field

from accounts.api import person_of
from core.api.cursors import next_cursor, read_cursor
from escrow import ledger
from escrow.api import statements
from escrow.api.balances import EntryShown, entries_shown
from escrow.api.schemas import Cursor, Limit, Money, Strict, money
from escrow.api.shown import role_in
from escrow.escrows.selectors import Entry, escrow_of, timeline_of
from escrow.models import Escrow

router = Router()

EVENTS = "events"
ENTRIES = "entries"


class Actor(StrEnum):
    BUYER = "buyer"
    SELLER = "seller"
    AMANI = "amani"


class EventShown(Strict):
    number: int = Field(description="Counts what happened, from 1.")
    at: datetime
    milestone: int | None = Field(description="The number of the milestone; null: the escrow itself.")
    event: str
    from_state: str
    to_state: str
    by: Actor = Field(description="`amani`: an operator, a payment that arrived, or the clock.")
    amount: Money | None
    reason: str = Field(description="What a party wrote.")


class Timeline(Strict):
    items: list[EventShown] = Field(description="The oldest first.")
    next: str | None = Field(description="The `cursor` of the next page; null on the last.")


class EscrowEntries(Strict):
    balance: Money = Field(description="What Amani holds for the escrow now.")
    items: list[EntryShown] = Field(description="The newest first.")
    next: str | None = Field(description="The `cursor` of the next page; null on the last.")


def event_shown(number: int, entry: Entry, escrow: Escrow) -> EventShown:
    role = role_in(escrow, entry.actor_id)
    return EventShown(
        number=number,
        at=entry.at,
        milestone=entry.seq,
        event=entry.event,
        from_state=entry.from_state,
        to_state=entry.to_state,
        by=Actor(role) if role else Actor.AMANI,
        amount=None if entry.amount_minor is None else money(entry.amount_minor, escrow.currency),
        reason=entry.reason if role else "",  # an operator's reason is not for the parties
    )


@router.get(
    "/{uuid:id}/events",
    response=Timeline,
    operation_id="list_escrow_events",
    summary="What happened to an escrow and its milestones, the oldest first",
)
def list_events(
    request: HttpRequest,
    id: UUID,  # noqa: A002  (the path's own name)
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Timeline:
    escrow = escrow_of(person_of(request), id)
    known = read_cursor(EVENTS, cursor, int) or 0
    entries = list(enumerate(timeline_of(escrow), start=1))
    found = [(number, entry) for number, entry in entries if number > known][: limit + 1]
    return Timeline(
        items=[event_shown(number, entry, escrow) for number, entry in found[:limit]],
        next=next_cursor(EVENTS, found, limit, lambda numbered: numbered[0]),
    )


@router.get(
    "/{uuid:id}/entries",
    response=EscrowEntries,
    operation_id="list_escrow_entries",
    summary="The money of an escrow, entry by entry, the newest first",
)
def list_entries(
    request: HttpRequest,
    id: UUID,  # noqa: A002
    limit: Limit = 50,
    cursor: Cursor = None,
) -> EscrowEntries:
    escrow = escrow_of(person_of(request), id)
    held = ledger.held(escrow.pk, escrow.currency)
    before = read_cursor(ENTRIES, cursor, int)
    found = statements.entries_of(held, before=before, limit=limit + 1)
    return EscrowEntries(
        balance=money(ledger.balance_of(held), escrow.currency),
        items=entries_shown(found[:limit]),
        next=next_cursor(ENTRIES, found, limit, lambda entry: entry.version),
    )
