"""Admin pages of escrow: escrows, transfers, accounts of the ledger, and stops of the money."""

from escrow.admin import accounts, escrows, stops, transfers

__all__ = ["accounts", "escrows", "stops", "transfers"]
