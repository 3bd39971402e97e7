"""Admin pages of escrow: escrows, fees, payments, transfers, accounts of the ledger, stops of the money."""

from escrow.admin import (
    accounts,
    contradictions,
    escrows,
    fees,
    payment_events,
    payments,
    stops,
    transfers,
)

__all__ = [
    "accounts",
    "contradictions",
    "escrows",
    "fees",
    "payment_events",
    "payments",
    "stops",
    "transfers",
]
