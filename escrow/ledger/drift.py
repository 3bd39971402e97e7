"""Compares balances with their entries: those that were touched, and some of all the others each time.

The entries of a balance are a chain: versions without a gap, each one's balance before it is the balance
after the one before, and the balance itself is what the last one says. So each link and each balance can be
compared alone, however long the chain is. What was found wrong is kept as LedgerFinding, looked at again in
each run, and forgotten when it is right.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

import structlog

from escrow.ledger.counting import RUNS_IN_HALF_A_DAY, Horizon, Span, asked
from escrow.models.ledger import LedgerAccount
from escrow.models.stops import LedgerFinding, LedgerWatch

log = structlog.get_logger(__name__)

Problem = LedgerFinding.Problem
NEW_AT_ONCE = 10_000
BALANCES_AT_ONCE = 250
FOUND_AT_ONCE = 1_000
NAMED = 3

# Three parts, because PostgreSQL would look for an OR of them in the whole table.
ENTRIES = """
    WITH entries AS MATERIALIZED (
        SELECT * FROM ledger_entry WHERE id > %(new_after)s AND id <= %(new_up_to)s
         UNION ALL SELECT * FROM ledger_entry WHERE id > %(old_after)s AND id <= %(old_up_to)s
         UNION ALL SELECT * FROM ledger_entry WHERE id = ANY(%(entries)s)
    )
"""
# LATERAL, because one look into the index for each entry is always right, whatever the planner believes.
LINKS = """
    ENTRIES
    SELECT e.account_id, e.shard, e.id
      FROM entries e
      LEFT JOIN LATERAL (
           SELECT p.balance_after_minor FROM ledger_entry p
            WHERE p.account_id = e.account_id AND p.shard = e.shard AND p.version = e.version - 1 LIMIT 1
           ) previous ON true
     WHERE e.balance_after_minor <> e.balance_before_minor + e.amount_minor
        OR e.balance_before_minor IS DISTINCT FROM
           CASE WHEN e.version = 1 THEN 0 ELSE previous.balance_after_minor END
     LIMIT %(at_most)s
""".replace("ENTRIES", ENTRIES)
BALANCES = """
    ENTRIES, looked_at AS MATERIALIZED (
        SELECT e.account_id, e.shard FROM entries e
         UNION SELECT b.account_id, b.shard FROM ledger_balance b
                WHERE (b.account_id, b.shard) > (%(after_account)s, %(after_shard)s)
                  AND (b.account_id, b.shard) <= (%(up_to_account)s, %(up_to_shard)s)
         UNION SELECT * FROM unnest(%(accounts)s::bigint[], %(shards)s::smallint[])
    ), compared AS MATERIALIZED (
        SELECT l.account_id, l.shard, b.posted_minor < 0 AS is_below,
               (b.version, b.posted_minor) IS DISTINCT FROM
               (coalesce(last.version, 0), coalesce(last.balance_after_minor, 0)) AS has_drifted
          FROM looked_at l
          LEFT JOIN LATERAL (
               SELECT * FROM ledger_balance b WHERE b.account_id = l.account_id AND b.shard = l.shard LIMIT 1
               ) b ON true
          LEFT JOIN LATERAL (
               SELECT e.version, e.balance_after_minor FROM ledger_entry e
                WHERE e.account_id = l.account_id AND e.shard = l.shard ORDER BY e.version DESC LIMIT 1
               ) last ON true
    )
    SELECT c.account_id, c.shard, c.has_drifted, coalesce(c.is_below AND NOT a.is_house, false)
      FROM compared c LEFT JOIN LATERAL (
           SELECT a.is_house FROM ledger_account a WHERE a.id = c.account_id AND c.is_below LIMIT 1
           ) a ON true
     WHERE c.has_drifted OR c.is_below AND NOT a.is_house LIMIT %(at_most)s
""".replace("ENTRIES", ENTRIES)
END_OF_SLICE = """
    SELECT account_id, shard FROM ledger_balance
     WHERE (account_id, shard) > (%(after_account)s, %(after_shard)s)
     ORDER BY account_id, shard OFFSET %(at_once)s - 1 LIMIT 1
"""
AFTER_ALL = (2**63 - 1, 2**15 - 1)


class Finding(NamedTuple):
    account_id: int
    shard: int
    entry_id: int
    problem: str


class Wrong(NamedTuple):
    """How many accounts have drifted, by currency, and are below zero, by kind; and some of them by name."""

    drifted: Counter[str]
    negative: Counter[str]
    drifted_names: list[str]
    negative_names: list[str]


def compare(watch: LedgerWatch, horizon: Horizon, recounted: Span) -> Wrong:
    """Compares what is due with its entries, and moves the locked `watch` forward; the caller saves it."""
    kept = {Finding(*row) for row in LedgerFinding.objects.values_list(*Finding._fields)}
    new = new_entries(watch, horizon)
    again = {(finding.account_id, finding.shard) for finding in kept}
    which = {
        "new_after": new.after,
        "new_up_to": new.up_to,
        "old_after": recounted.after,
        "old_up_to": recounted.up_to,
        "entries": [finding.entry_id for finding in kept if finding.entry_id],
        **next_slice(watch),
        "accounts": [account_id for account_id, _shard in again],
        "shards": [shard for _account_id, shard in again],
        "at_most": FOUND_AT_ONCE,
    }
    found = set(wrong_links(which)) | set(wrong_balances(which))
    watch.checked_id = max(watch.checked_id, min(new.up_to, watch.counted_id))
    keep(kept, found)
    return summed_up(found)


def new_entries(watch: LedgerWatch, horizon: Horizon) -> Span:
    """Returns all entries that were not compared yet; a part of them when they are very many."""
    if horizon.newest_id - watch.checked_id <= NEW_AT_ONCE:
        return Span(watch.checked_id, horizon.newest_id)
    return Span(watch.checked_id, min(watch.checked_id + NEW_AT_ONCE, watch.counted_id))


def next_slice(watch: LedgerWatch) -> dict[str, int]:
    """Returns the bounds of the next balances to compare; begins anew after the last, within half a day."""
    after = {"after_account": watch.account_id, "after_shard": watch.shard}
    at_once = max(BALANCES_AT_ONCE, watch.counted_id // RUNS_IN_HALF_A_DAY)
    ends = asked(END_OF_SLICE, **after, at_once=at_once)
    watch.account_id, watch.shard = ends[0] if ends else (0, 0)
    up_to_account, up_to_shard = ends[0] if ends else AFTER_ALL
    return {**after, "up_to_account": up_to_account, "up_to_shard": up_to_shard}


def wrong_links(which: dict[str, object]) -> Iterable[Finding]:
    for account_id, shard, entry_id in asked(LINKS, **which):
        yield Finding(account_id, shard, entry_id, Problem.DRIFT)


def wrong_balances(which: dict[str, object]) -> Iterable[Finding]:
    for account_id, shard, has_drifted, is_negative in asked(BALANCES, **which):
        if has_drifted:
            yield Finding(account_id, shard, 0, Problem.DRIFT)
        if is_negative:
            yield Finding(account_id, shard, 0, Problem.NEGATIVE)


def keep(kept: set[Finding], found: set[Finding]) -> None:
    new = sorted(found - kept)[:FOUND_AT_ONCE]
    for finding in kept - found:
        LedgerFinding.objects.filter(**finding._asdict()).delete()
    LedgerFinding.objects.bulk_create(LedgerFinding(**finding._asdict()) for finding in new)
    if new:
        log.error("ledger_is_wrong", findings=len(new), first=new[0]._asdict())
    if kept and not found:
        log.info("ledger_is_right_again", findings=len(kept))


def summed_up(found: set[Finding]) -> Wrong:
    accounts = LedgerAccount.objects.in_bulk({finding.account_id for finding in found})
    by_problem = {
        problem: {finding.account_id for finding in found if finding.problem == problem}
        for problem in (Problem.DRIFT, Problem.NEGATIVE)
    }
    drifted, negative = (
        [accounts[number] for number in sorted(numbers) if number in accounts]
        for numbers in by_problem.values()
    )
    return Wrong(
        Counter(account.currency for account in drifted),
        Counter(account.kind_id for account in negative),
        [str(account) for account in drifted[:NAMED]],
        [str(account) for account in negative[:NAMED]],
    )
