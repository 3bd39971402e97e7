"""Admin pages of escrow: accounts of the ledger and transfers."""

from escrow.admin import accounts, transfers

__all__ = ["accounts", "transfers"]
