"""Adds up the ledger without reading all of it: what was counted before, and the entries since then.

The ids of a sequence become visible out of order: entry 6 may be committed while the transaction with entry
5 is still open. So what is counted once and for all ends at an entry before which nothing can appear any
more; the entries behind it are added anew each time. A run remembers the newest entry that it sees, and only
then asks for an id of its own transaction, which is larger than that of every transaction with an entry
before it (the posting function writes the transfer first, so a transaction has its id before its entries have
theirs). When all transactions before that id have ended, no more entry can appear before the remembered one.
The snapshot's own upper bound would not do: it is the newest transaction that has ended, and an older entry
may be of a newer one.

A second, slow count goes through all entries within half a day and shows whether one that was counted has
been changed since.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import structlog
from django.db import connection
from django.db.models import F

from escrow.models.stops import LedgerCheckpoint, LedgerWatch

log = structlog.get_logger(__name__)

RUNS_IN_HALF_A_DAY = 2_880  # of a snapshot every 15 seconds
RECOUNTED_AT_ONCE = 250

HORIZON = (
    "SELECT coalesce(max(id), 0), pg_snapshot_xmin(pg_current_snapshot())::text::bigint FROM ledger_entry"
)
OWN_XID = "SELECT pg_current_xact_id()::text::bigint"
SUMS = """
    SELECT a.kind, e.currency, coalesce(sum(e.amount_minor) FILTER (WHERE e.id <= %(up_to)s), 0)::bigint,
           sum(e.amount_minor)::bigint
      FROM ledger_entry e
      JOIN ledger_account a ON a.id = e.account_id
     WHERE e.id > %(after)s
"""
GROUPED = " GROUP BY a.kind, e.currency"
UPSERTED = ["counted_minor", "seen_minor", "recounted_minor", "changed_minor"]

Sums = dict[tuple[str, str], int]


class Horizon(NamedTuple):
    """`newest_id`: of the entries that are visible. `oldest_xid`: every transaction before it has ended."""

    newest_id: int
    oldest_xid: int


class Span(NamedTuple):
    """The entries with an id above `after`, up to `up_to`."""

    after: int
    up_to: int


class Counted(NamedTuple):
    """`sums`: of all entries by (kind of account, currency), in minor units. `changed`: kinds and currencies
    whose entries were changed after they had been counted. `recounted`: what the slow count went through."""

    sums: Sums
    changed: Sums
    recounted: Span


def lock_watch() -> LedgerWatch | None:
    """Locks and returns the row that remembers how far the check is; None while another check has it."""
    rows = LedgerWatch.objects.select_for_update(skip_locked=True)
    watch = rows.first()
    if watch is None and not LedgerWatch.objects.exists():
        LedgerWatch.objects.bulk_create([LedgerWatch()], ignore_conflicts=True)
        watch = rows.first()
    return watch


def wait_for_watch() -> None:
    """Locks the same row, so that no check runs until the caller's transaction ends."""
    LedgerWatch.objects.select_for_update().first()


def read_horizon() -> Horizon:
    """Returns how far the entries are visible. To be called before the transaction of `count`."""
    return Horizon(*asked(HORIZON)[0])


def count(watch: LedgerWatch, horizon: Horizon) -> Counted:
    """Adds up all entries, and moves the locked `watch` forward; the caller saves it."""
    before = watch.counted_id
    move_boundary(watch, horizon, asked(OWN_XID)[0][0])
    rows = {(row.kind, row.currency): row for row in LedgerCheckpoint.objects.all()}
    tail: Sums = {}
    for kind, currency, certain, whole in asked(SUMS + GROUPED, after=before, up_to=watch.counted_id):
        row = rows.setdefault((kind, currency), LedgerCheckpoint(kind=kind, currency=currency))
        row.counted_minor += certain
        tail[kind, currency] = whole - certain
    recounted = recount(watch, rows, new=watch.counted_id - before)
    for key, row in rows.items():
        row.seen_minor = row.counted_minor + row.changed_minor + tail.get(key, 0)
    keep(rows)
    changed = {key: row.changed_minor for key, row in rows.items() if row.changed_minor}
    return Counted({key: row.seen_minor for key, row in rows.items()}, changed, recounted)


def move_boundary(watch: LedgerWatch, horizon: Horizon, own_xid: int) -> None:
    """Moves `counted_id` to the candidate if nothing can appear before it, and takes the next candidate."""
    is_of_another_cluster = watch.candidate_xid > own_xid  # the database was restored into a younger one
    if watch.candidate_xid > horizon.oldest_xid and not is_of_another_cluster:
        return
    if not is_of_another_cluster:
        watch.counted_id = max(watch.counted_id, watch.candidate_id)
    watch.candidate_id, watch.candidate_xid = horizon.newest_id, own_xid


def recount(watch: LedgerWatch, rows: dict[tuple[str, str], LedgerCheckpoint], *, new: int) -> Span:
    """Adds the next entries to the slow count. At its end compares it with what was counted, and begins anew.

    Returns what it went through. `new`: how many more ids it has to go through than before.
    """
    at_once = max(RECOUNTED_AT_ONCE, watch.counted_id // RUNS_IN_HALF_A_DAY) + new
    span = Span(watch.recounted_id, min(watch.recounted_id + at_once, watch.counted_id))
    for kind, currency, found, _whole in asked(SUMS + " AND e.id <= %(up_to)s" + GROUPED, **span._asdict()):
        row = rows.setdefault((kind, currency), LedgerCheckpoint(kind=kind, currency=currency))
        row.recounted_minor += found
    watch.recounted_id = span.up_to
    if span.up_to == watch.counted_id:
        end_recount(rows.values())
        watch.recounted_id = 0
    return span


def end_recount(rows: Iterable[LedgerCheckpoint]) -> None:
    for row in rows:
        changed_minor = row.recounted_minor - row.counted_minor
        if changed_minor and changed_minor != row.changed_minor:
            log.error("ledger_history_changed", kind=row.kind, currency=row.currency, by_minor=changed_minor)
        row.changed_minor = changed_minor
        row.recounted_minor = 0


def accept_changes() -> None:
    """Counts on from what the entries are now. For the operator who has looked into changed ones."""
    LedgerCheckpoint.objects.exclude(changed_minor=0).update(
        counted_minor=F("counted_minor") + F("changed_minor"), changed_minor=0
    )


def keep(rows: Mapping[tuple[str, str], LedgerCheckpoint]) -> None:
    LedgerCheckpoint.objects.bulk_create(
        rows.values(),
        update_conflicts=True,
        unique_fields=["kind", "currency"],
        update_fields=UPSERTED,
    )


def asked(statement: str, **values: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values or None)
        return list(cursor.fetchall())
