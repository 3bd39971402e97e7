"""Reads the statement of one account of a user, by the numbers of its entries.

The entries of a customer's account are numbered from 1 without a gap, each with the balance after it. The
numbers are the cursors, so a cursor tells nothing about other accounts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple
from uuid import UUID

from django.db.models import QuerySet

from escrow import ledger
from escrow.ledger import Account
from escrow.models import Escrow, LedgerEntry, Milestone

ONLY_SHARD = 0  # of a customer's account
READ_AT_ONCE = 500


class Names(NamedTuple):
    """What entries are about, as their owner knows it: by the ids that the ledger has."""

    escrows: dict[int | None, UUID]
    titles: dict[int | None, str]
    milestones: dict[int | None, UUID]


def names_of(entries: Sequence[LedgerEntry]) -> Names:
    transfers = [entry.transfer for entry in entries]
    escrow_ids = {one.escrow_id for one in transfers if one.escrow_id is not None}
    milestone_ids = {one.milestone_id for one in transfers if one.milestone_id is not None}
    escrows = Escrow.objects.filter(pk__in=escrow_ids)
    found = list(escrows.values_list("pk", "public_id", "terms__document__title"))
    milestones = Milestone.objects.filter(pk__in=milestone_ids).values_list("pk", "public_id")
    return Names(
        {pk: public_id for pk, public_id, _ in found},
        {pk: title or "" for pk, _, title in found},
        dict(milestones),
    )


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
