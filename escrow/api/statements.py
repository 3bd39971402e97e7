"""Reads the statement of one account of a user, by the numbers of its entries.

The entries of a customer's account are numbered from 1 without a gap, each with the balance after it. The
numbers are the cursors, so a cursor tells nothing about other accounts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from django.db.models import QuerySet

from escrow import ledger
from escrow.ledger import Account
from escrow.models import LedgerEntry

ONLY_SHARD = 0  # of a customer's account
READ_AT_ONCE = 500


def entries_of(account: Account, *, before: int | None, limit: int) -> list[LedgerEntry]:
    """Returns at most `limit` entries, the newest first; `before`: those with a smaller number."""
    row = ledger.account_row(account)
    return [] if row is None else list(numbered(row.pk, before)[:limit])


def numbered(account_id: int, before: int | None) -> QuerySet[LedgerEntry]:
    """Selects along the index that keeps the numbers unique."""
    entries = LedgerEntry.objects.filter(account_id=account_id, shard=ONLY_SHARD).select_related("transfer")
    return (entries if before is None else entries.filter(version__lt=before)).order_by("-version")


def every_entry(account: Account, *, before: int | None, most: int) -> Iterator[Sequence[LedgerEntry]]:
    """Yields at most `most` entries in pages, each read when it is wanted."""
    row = ledger.account_row(account)
    while row is not None and most > 0:
        wanted = min(READ_AT_ONCE, most)
        page = list(numbered(row.pk, before)[:wanted])
        yield page
        if len(page) < wanted:
            return
        before = page[-1].version
        most -= wanted
