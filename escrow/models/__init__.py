"""Models of escrow: the ledger and what watches it, escrows with their terms, and payments."""

from escrow.models.escrows import Escrow, EscrowEvent, EscrowEventText, Role
from escrow.models.keys import IdempotencyKey
from escrow.models.ledger import LedgerAccount, LedgerAccountKind, LedgerBalance, LedgerEntry, LedgerTransfer
from escrow.models.milestones import Milestone, MilestoneEvent, MilestoneEventText
from escrow.models.payments import (
    Collection,
    CollectionEvent,
    Contradiction,
    PaymentEvent,
    Payout,
    PayoutEvent,
    ProviderCall,
    Source,
)
from escrow.models.stops import LedgerCheckpoint, LedgerFinding, LedgerWatch, MoneyStop
from escrow.models.terms import EscrowAgreement, EscrowTerms, FeeRule, Invitation

__all__ = [
    "Collection",
    "CollectionEvent",
    "Contradiction",
    "Escrow",
    "EscrowAgreement",
    "EscrowEvent",
    "EscrowEventText",
    "EscrowTerms",
    "FeeRule",
    "IdempotencyKey",
    "Invitation",
    "LedgerAccount",
    "LedgerAccountKind",
    "LedgerBalance",
    "LedgerCheckpoint",
    "LedgerEntry",
    "LedgerFinding",
    "LedgerTransfer",
    "LedgerWatch",
    "Milestone",
    "MilestoneEvent",
    "MilestoneEventText",
    "MoneyStop",
    "PaymentEvent",
    "Payout",
    "PayoutEvent",
    "ProviderCall",
    "Role",
    "Source",
]
