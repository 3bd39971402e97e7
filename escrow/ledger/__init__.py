"""The ledger: double entry in minor units, written by one SQL function (docs/ledger.md).

Code that moves money makes legs of accounts and calls `post` in its own transaction; see posting.py.
"""

from escrow.ledger.accounts import (
    Account,
    chargeback_loss,
    clearing,
    held,
    in_transit,
    payable,
    platform_fee,
    provider_fee,
    refundable,
    suspense,
)
from escrow.ledger.balances import balance_of, balances_of
from escrow.ledger.errors import (
    AlreadyResolved,
    AlreadyReversed,
    CannotReverse,
    InsufficientFunds,
    KeyReused,
    WrongTransfer,
)
from escrow.ledger.posting import Leg, Posted, post, reverse
from escrow.ledger.statements import account_row, entries_of
from escrow.models.chart import AccountKind, TransferKind

__all__ = [
    "Account",
    "AccountKind",
    "AlreadyResolved",
    "AlreadyReversed",
    "CannotReverse",
    "InsufficientFunds",
    "KeyReused",
    "Leg",
    "Posted",
    "TransferKind",
    "WrongTransfer",
    "account_row",
    "balance_of",
    "balances_of",
    "chargeback_loss",
    "clearing",
    "entries_of",
    "held",
    "in_transit",
    "payable",
    "platform_fee",
    "post",
    "provider_fee",
    "refundable",
    "reverse",
    "suspense",
]
