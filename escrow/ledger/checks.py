"""Reads the whole ledger and says whether it is right: for a torture, a restore, a doubt.

This costs a scan of all entries. The snapshot of the metrics looks at what changed only.
"""

from __future__ import annotations

from typing import NamedTuple

from django.db import connection

IMBALANCE = (
    "SELECT currency, sum(posted_minor) FROM ledger_balance GROUP BY currency HAVING sum(posted_minor) <> 0"
)
TRANSFERS = """
SELECT count(*) FROM (
    SELECT t.id FROM ledger_transfer t LEFT JOIN ledger_entry e ON e.transfer_id = t.id
    GROUP BY t.id HAVING count(e.id) <> t.entry_count OR EXISTS (
        SELECT FROM ledger_entry o WHERE o.transfer_id = t.id
        GROUP BY o.currency HAVING sum(o.amount_minor) <> 0
    )
) AS wrong
"""
# A balance is right if its entries add up to it, count its versions, and each begins where the last ended.
DRIFT = """
WITH chain AS (
    SELECT account_id, shard, version, amount_minor, balance_after_minor,
           balance_before_minor = lag(balance_after_minor, 1, 0::bigint) OVER one_balance
           AND version = lag(version, 1, 0::bigint) OVER one_balance + 1 AS follows
    FROM ledger_entry WINDOW one_balance AS (PARTITION BY account_id, shard ORDER BY version)
), totals AS (
    SELECT account_id, shard, sum(amount_minor) AS total, max(version) AS version,
           bool_and(follows) AS follows
    FROM chain GROUP BY account_id, shard
)
SELECT count(*) FROM ledger_balance b FULL JOIN totals t USING (account_id, shard)
WHERE coalesce(b.posted_minor, 0) <> coalesce(t.total, 0) OR coalesce(b.version, 0) <> coalesce(t.version, 0)
   OR NOT coalesce(t.follows, true)
"""
NEGATIVE = """
SELECT count(*) FROM ledger_balance b JOIN ledger_account a ON a.id = b.account_id
WHERE NOT a.is_house AND b.posted_minor < 0
"""
COUNTS = "SELECT (SELECT count(*) FROM ledger_transfer), (SELECT count(*) FROM ledger_entry)"


class Findings(NamedTuple):
    """`imbalance_minor`: by currency, without those that are balanced. The others are numbers of rows."""

    transfers: int
    entries: int
    imbalance_minor: dict[str, int]
    unbalanced_transfers: int
    drifting_balances: int
    negative_balances: int

    @property
    def is_right(self) -> bool:
        wrong = (self.unbalanced_transfers, self.drifting_balances, self.negative_balances)
        return not self.imbalance_minor and not any(wrong)


def check_all() -> Findings:
    """Returns what is wrong in the whole ledger. Postings may go on: each part is of one instant."""
    with connection.cursor() as cursor:

        def number(sql: str) -> int:
            cursor.execute(sql)
            return int(cursor.fetchone()[0])

        cursor.execute(COUNTS)
        transfers, entries = cursor.fetchone()
        cursor.execute(IMBALANCE)
        imbalance = {currency: int(total) for currency, total in cursor.fetchall()}
        return Findings(transfers, entries, imbalance, number(TRANSFERS), number(DRIFT), number(NEGATIVE))
