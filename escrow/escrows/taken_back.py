"""Books money that a provider took back after it had arrived for an escrow, and freezes the escrow."""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone

from core.states import By
from escrow import ledger, metrics
from escrow.escrows.funding import Arrived, known_arrival
from escrow.escrows.transitions import change, lock
from escrow.ledger import Leg, TransferKind
from escrow.models import Escrow
from escrow.states import FREEZABLE, Event, Who

WHY = "The payment was taken back after it had arrived."


def money_taken_back(
    *, escrow_id: int, collection_id: int, amount_minor: int, provider: str, receipt: str
) -> Escrow:
    """Posts the opposite of what `money_arrived` posted for this receipt, once, and freezes the escrow.

    What the escrow no longer holds, because it was released, is a loss of the house: the seller keeps it. An
    operator decides how the escrow goes on. Raises EscrowNotFound, or RuntimeError if nothing had arrived.
    """
    with transaction.atomic():
        escrow = lock(escrow_id).escrow
        arrived = known_arrival(escrow, f"collection:{collection_id}:{receipt}", amount_minor)
        if arrived is None:
            raise RuntimeError("Only what arrived is taken back.")
        posted = ledger.post(
            kind=TransferKind.FUNDING_REVERSED,
            key=f"collection:{collection_id}:{receipt}",
            legs=legs_of(arrived, provider),
            escrow_id=escrow.pk,
            reason=WHY,
        )
        if not posted.was_known:
            metrics.count_after_commit("funding", "reversed")
            freeze(escrow, provider)
        return escrow


def legs_of(arrived: Arrived, provider: str) -> list[Leg]:
    """Takes the excess from suspense, the rest from the escrow as far as it goes, and then from the house."""
    escrow = arrived.escrow
    held_account = ledger.held(escrow.pk, escrow.currency)
    from_escrow = min(arrived.held_minor, ledger.balance_of(held_account))
    legs = [
        Leg(held_account, -from_escrow),
        Leg(ledger.suspense(provider, escrow.currency), -arrived.excess_minor),
        Leg(ledger.chargeback_loss(escrow.currency), from_escrow - arrived.held_minor),
        Leg(ledger.clearing(provider, escrow.currency), arrived.held_minor + arrived.excess_minor),
    ]
    return [leg for leg in legs if leg.amount_minor]


def freeze(escrow: Escrow, provider: str) -> None:
    if escrow.state in FREEZABLE and escrow.frozen_at is None:
        by = By(Who.PROVIDER, provider=provider)
        change(escrow, Event.FREEZE, by, reason=WHY, frozen_at=timezone.now())
