"""Reads balances: one row for a customer's account, one page of shards for an account of the house."""

from __future__ import annotations

from collections.abc import Iterable

from django.db.models import Sum

from escrow.ledger.accounts import Account
from escrow.models.chart import AccountKind
from escrow.models.ledger import LedgerBalance

OF_USERS = (AccountKind.SELLER_PAYABLE, AccountKind.BUYER_REFUNDABLE, AccountKind.PAYOUT_IN_TRANSIT)


def balance_of(account: Account) -> int:
    """Returns the balance in minor units; 0 for an account that was never used."""
    found = LedgerBalance.objects.filter(
        account__owner=account.owner, account__kind=account.kind, account__currency=account.currency
    ).aggregate(total=Sum("posted_minor"))
    return int(found["total"] or 0)


def balances_of(user_id: int, kinds: Iterable[AccountKind] = OF_USERS) -> dict[Account, int]:
    """Returns the balances of the user's accounts, in the order of currency and kind."""
    rows = LedgerBalance.objects.filter(
        account__owner=str(user_id), account__kind__in=[kind.value for kind in kinds]
    ).values_list("account__kind", "currency", "posted_minor")
    found = {Account(AccountKind(kind), str(user_id), currency): posted for kind, currency, posted in rows}
    return dict(sorted(found.items(), key=lambda item: (item[0].currency, item[0].kind)))
