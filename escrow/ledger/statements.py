"""Statements: the entries of an account, the newest first, in pages that cost the same at any depth."""

from __future__ import annotations

from django.db.models import QuerySet

from escrow.ledger.accounts import Account
from escrow.models.ledger import LedgerAccount, LedgerEntry

PAGE = 50


def account_row(account: Account) -> LedgerAccount | None:
    """Returns the row of the account; None when nothing was ever posted to it."""
    return LedgerAccount.objects.filter(
        owner=account.owner, kind=account.kind, currency=account.currency
    ).first()


def entries_of(account_id: int, *, before: int | None = None) -> QuerySet[LedgerEntry]:
    """Selects the entries of an account with their transfers, the newest first; those older than `before`."""
    entries = LedgerEntry.objects.filter(account_id=account_id).select_related("transfer").order_by("-id")
    return entries if before is None else entries.filter(pk__lt=before)
