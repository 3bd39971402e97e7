"""Admin pages of escrow: escrows, payments, transfers, accounts of the ledger, and stops of the money."""

from escrow.admin import accounts, contradictions, escrows, payment_events, payments, stops, transfers

__all__ = ["accounts", "contradictions", "escrows", "payment_events", "payments", "stops", "transfers"]
