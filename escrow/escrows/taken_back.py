"""Books money that a provider took back after it had arrived for an escrow, and freezes the escrow."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.utils import timezone

from core.states import By
from escrow import ledger, metrics
from escrow.escrows.funding import Arrived, known_arrival
from escrow.escrows.transitions import change, lock
from escrow.ledger import Leg, TransferKind
from escrow.models import Escrow, LedgerTransfer
from escrow.states import FREEZABLE, HOLDS_ALL, Event, Who

WHY = "The payment was taken back after it had arrived."


def money_taken_back(
    *, escrow_id: int, collection_id: int, amount_minor: int, provider: str, receipt: str
) -> Escrow:
    """Posts the opposite of what `money_arrived` posted for this receipt, once, and freezes the escrow.

    What the escrow no longer holds, because it was released, is a loss of the house: the seller keeps it.
    What it held is missing from now on (`short_minor`), or is due again if not all of the money had come.
    An operator decides how the escrow goes on. Raises EscrowNotFound, or RuntimeError if nothing had arrived.
    """
    with transaction.atomic():
        escrow = lock(escrow_id).escrow
        key = f"collection:{collection_id}:{receipt}"
        arrived = known_arrival(escrow, key, amount_minor)
        if arrived is None:
            raise RuntimeError("Only what arrived is taken back.")
        if not LedgerTransfer.objects.filter(kind=TransferKind.FUNDING_REVERSED, key=key).exists():
            take_back(arrived, key, provider)
        return escrow


def take_back(arrived: Arrived, key: str, provider: str) -> None:
    escrow = arrived.escrow
    held_account = ledger.held(escrow.pk, escrow.currency)
    from_escrow = min(arrived.held_minor, ledger.balance_of(held_account))
    ledger.post(
        kind=TransferKind.FUNDING_REVERSED,
        key=key,
        legs=legs_of(arrived, from_escrow, provider),
        escrow_id=escrow.pk,
        reason=WHY,
    )
    metrics.count_after_commit("funding", "reversed")
    if escrow.state in FREEZABLE:
        by = By(Who.PROVIDER, provider=provider)
        missing = missing_after(escrow, from_escrow)
        change(escrow, Event.TAKE_BACK, by, reason=WHY, amount_minor=from_escrow or None, **missing)


def legs_of(arrived: Arrived, from_escrow: int, provider: str) -> list[Leg]:
    """Takes the excess from suspense, `from_escrow` from the escrow, and the rest from the house."""
    escrow = arrived.escrow
    legs = [
        Leg(ledger.held(escrow.pk, escrow.currency), -from_escrow),
        Leg(ledger.suspense(provider, escrow.currency), -arrived.excess_minor),
        Leg(ledger.chargeback_loss(escrow.currency), from_escrow - arrived.held_minor),
        Leg(ledger.clearing(provider, escrow.currency), arrived.held_minor + arrived.excess_minor),
    ]
    return [leg for leg in legs if leg.amount_minor]


def missing_after(escrow: Escrow, amount_minor: int) -> dict[str, Any]:
    """Returns the columns of an open escrow that lost this money; it is frozen since then, or was before."""
    frozen = {"frozen_at": escrow.frozen_at or timezone.now()}
    if escrow.state in HOLDS_ALL:
        return frozen | {"short_minor": escrow.short_minor + amount_minor}
    return frozen | {"funded_minor": escrow.funded_minor - amount_minor}
