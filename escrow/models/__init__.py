"""Models of escrow: the ledger."""

from escrow.models.keys import IdempotencyKey
from escrow.models.ledger import LedgerAccount, LedgerAccountKind, LedgerBalance, LedgerEntry, LedgerTransfer

__all__ = [
    "IdempotencyKey",
    "LedgerAccount",
    "LedgerAccountKind",
    "LedgerBalance",
    "LedgerEntry",
    "LedgerTransfer",
]
