"""Takes money that a provider says has arrived for an escrow."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from django.db import transaction
from django.db.models import Sum

from core.states import By
from escrow import ledger, metrics
from escrow.escrows.transitions import Locked, change, change_milestone, lock
from escrow.ledger import KeyReused, Leg, TransferKind
from escrow.models import Escrow, LedgerEntry
from escrow.states import HOLDS_ALL, Event, MilestoneStep, State, Who

ARRIVALS = (TransferKind.FUNDING, TransferKind.FUNDING_EXCESS)


class Arrived(NamedTuple):
    """`held_minor` went into the escrow, `excess_minor` is more than was due and waits in suspense.

    `was_known`: this receipt was taken before, and nothing was posted now.
    """

    escrow: Escrow
    held_minor: int
    excess_minor: int
    was_known: bool = False


def money_arrived(
    *,
    escrow_id: int,
    collection_id: int,
    amount_minor: int,
    provider: str,
    receipt: str,
    event_at: datetime | None = None,
) -> Arrived:
    """Posts what arrived, once for each collection and receipt, and funds the escrow when all of it is there.

    The caller has compared the currency. Money is never refused: what is more than due, or comes when the
    escrow no longer waits for it, goes to suspense. Locks the escrow, so lock a collection after it. Raises
    EscrowNotFound, or KeyReused if the receipt was for another amount.
    """
    with transaction.atomic():
        locked = lock(escrow_id)
        key = f"collection:{collection_id}:{receipt}"
        known = known_arrival(locked.escrow, key, amount_minor)
        if known is not None:
            return known
        held = still_due(locked.escrow, amount_minor)
        arrived = Arrived(locked.escrow, held, amount_minor - held)
        post_arrival(arrived, key, provider, event_at)
        if held:
            fund(locked, held, By(Who.PROVIDER, provider=provider))
        return arrived


def known_arrival(escrow: Escrow, key: str, amount_minor: int) -> Arrived | None:
    entries = LedgerEntry.objects.filter(
        transfer__key=key, transfer__kind__in=ARRIVALS, transfer__escrow_id=escrow.pk, amount_minor__gt=0
    ).values_list("transfer__kind")
    by_kind: dict[str, int] = dict(entries.annotate(Sum("amount_minor")))
    if not by_kind:
        return None
    if sum(by_kind.values()) != amount_minor:
        raise KeyReused
    return Arrived(
        escrow,
        by_kind.get(TransferKind.FUNDING, 0),
        by_kind.get(TransferKind.FUNDING_EXCESS, 0),
        was_known=True,
    )


def still_due(escrow: Escrow, amount_minor: int) -> int:
    return min(amount_minor, missing_from(escrow))


def missing_from(escrow: Escrow) -> int:
    """Returns what the escrow waits for: the rest of what is due, or what was taken back since all came."""
    if escrow.state == State.AWAITING_FUNDS:
        return escrow.due_minor - escrow.funded_minor
    return escrow.short_minor if escrow.state in HOLDS_ALL else 0


def post_arrival(arrived: Arrived, key: str, provider: str, event_at: datetime | None) -> None:
    escrow = arrived.escrow
    currency = escrow.currency
    for kind, account, amount in (
        (TransferKind.FUNDING, ledger.held(escrow.pk, currency), arrived.held_minor),
        (TransferKind.FUNDING_EXCESS, ledger.suspense(provider, currency), arrived.excess_minor),
    ):
        if amount:
            ledger.post(
                kind=kind,
                key=key,
                legs=[Leg(ledger.clearing(provider, currency), -amount), Leg(account, amount)],
                escrow_id=escrow.pk,
                event_at=event_at,
            )
    if arrived.excess_minor:
        metrics.count_after_commit("funding", "excess")


def fund(locked: Locked, amount_minor: int, by: By) -> None:
    escrow, milestones = locked
    if escrow.state in HOLDS_ALL:
        make_good(escrow, amount_minor, by)
        return
    funded = escrow.funded_minor + amount_minor
    if funded < escrow.due_minor:
        change(escrow, Event.RECEIVE_PART, by, amount_minor=amount_minor, funded_minor=funded)
        metrics.count_after_commit("funding", "partial")
        return
    for milestone in milestones:
        change_milestone(milestone, MilestoneStep.FUND, by)
    change(escrow, Event.FUND, by, amount_minor=amount_minor, funded_minor=funded, expires_at=None)
    metrics.count_after_commit("funding", "completed")


def make_good(escrow: Escrow, amount_minor: int, by: By) -> None:
    """Makes an escrow less short. It stays frozen: an operator judges why a payment was taken back."""
    short = escrow.short_minor - amount_minor
    change(escrow, Event.MAKE_GOOD, by, amount_minor=amount_minor, short_minor=short)
    metrics.count_after_commit("funding", "partial" if short else "completed")
