"""The chart of accounts: the kinds of accounts, the kinds of transfers, and what each account may do.

docs/ledger.md explains each with a worked example. `migrate` writes CHART into ledger_account_kind, where the
posting function reads it.
"""

from __future__ import annotations

from typing import NamedTuple

from django.db import models

# House accounts are credited and debited by many sessions, so their balances are spread over rows that no two
# sessions update at once. More shards make a balance slower to read; 16 of them fit on a page.
HOUSE_SHARDS = 16
HOUSE_FLOOR_MINOR = -(2**62)


class AccountKind(models.TextChoices):
    ESCROW_HELD = "escrow_held", "held for an escrow"
    SELLER_PAYABLE = "seller_payable", "owed to a seller"
    BUYER_REFUNDABLE = "buyer_refundable", "owed back to a buyer"
    PAYOUT_IN_TRANSIT = "payout_in_transit", "being paid out"
    PROVIDER_CLEARING = "provider_clearing", "at a payment provider"
    PLATFORM_FEE = "platform_fee", "fees earned"
    PROVIDER_FEE = "provider_fee", "fees of a payment provider"
    SUSPENSE = "suspense", "received, owner not known"
    CHARGEBACK_LOSS = "chargeback_loss", "lost to reversed payments"


class TransferKind(models.TextChoices):
    FUNDING = "funding", "funding"
    FUNDING_EXCESS = "funding_excess", "funding beyond what is due"
    FUNDING_REVERSED = "funding_reversed", "funding taken back by the provider"
    PROVIDER_FEE = "provider_fee", "fee that a payment provider kept"
    RELEASE = "release", "release to the seller"
    REFUND = "refund", "refund to the buyer"
    PAYOUT_REQUESTED = "payout_requested", "payout requested"
    PAYOUT_SETTLED = "payout_settled", "payout settled"
    PAYOUT_FAILED = "payout_failed", "payout failed"
    PAYOUT_RETURNED = "payout_returned", "payout returned after it settled"
    CORRECTION = "correction", "correction"
    REVERSAL = "reversal", "reversal of another transfer"


class Rule(NamedTuple):
    """What holds for each account of a kind. `floor_minor`: no balance may go below it."""

    is_house: bool
    floor_minor: int
    shards: int


CUSTOMER = Rule(is_house=False, floor_minor=0, shards=1)
HOUSE = Rule(is_house=True, floor_minor=HOUSE_FLOOR_MINOR, shards=HOUSE_SHARDS)

CHART: dict[AccountKind, Rule] = {
    AccountKind.ESCROW_HELD: CUSTOMER,
    AccountKind.SELLER_PAYABLE: CUSTOMER,
    AccountKind.BUYER_REFUNDABLE: CUSTOMER,
    AccountKind.PAYOUT_IN_TRANSIT: CUSTOMER,
    AccountKind.PROVIDER_CLEARING: HOUSE,
    AccountKind.PLATFORM_FEE: HOUSE,
    AccountKind.PROVIDER_FEE: HOUSE,
    AccountKind.SUSPENSE: HOUSE,
    AccountKind.CHARGEBACK_LOSS: HOUSE,
}
