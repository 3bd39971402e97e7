"""Models of escrow: the ledger."""

from escrow.models.ledger import LedgerAccount, LedgerAccountKind, LedgerBalance, LedgerEntry, LedgerTransfer

__all__ = ["LedgerAccount", "LedgerAccountKind", "LedgerBalance", "LedgerEntry", "LedgerTransfer"]
