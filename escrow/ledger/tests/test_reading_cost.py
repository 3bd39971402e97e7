"""What reading costs: pages of 8 kB, counted by PostgreSQL, the same on every machine."""

from __future__ import annotations

import json

import pytest
from django.db import connection
from django.db.models import QuerySet

from escrow.ledger import account_row, entries_of, held
from escrow.ledger.tests.books import fund

pytestmark = pytest.mark.django_db

ENTRIES = 1_000
PAGE = 50
MANY = """
SELECT count(*) FROM generate_series(1, %s) AS n, ledger_post('correction', 'many:' || n,
    ARRAY['escrow_held', 'escrow_held'], ARRAY['1', '2'], ARRAY['NGN', 'NGN'],
    ARRAY[-1, 1]::bigint[], NULL, NULL, NULL, '', NULL, NULL, now(), '')
"""


@pytest.fixture
def _busy_account() -> None:
    fund(1, ENTRIES)
    with connection.cursor() as cursor:
        cursor.execute(MANY, [ENTRIES])
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("ANALYZE ledger_entry, ledger_transfer, ledger_balance, ledger_account")
        # With as few rows as here the planner may read the whole table, which no one does with a million.
        cursor.execute("SET LOCAL enable_seqscan = off")


def pages_read(query: QuerySet) -> int:  # type: ignore[type-arg]
    sql, parameters = query.query.sql_with_params()
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}", parameters)
        found = cursor.fetchone()[0]
    plan = (json.loads(found) if isinstance(found, str) else found)[0]["Plan"]
    return int(plan["Shared Hit Blocks"]) + int(plan["Shared Read Blocks"])


@pytest.mark.usefixtures("_busy_account")
def test_a_page_of_a_statement_costs_the_same_at_any_depth() -> None:
    account = account_row(held(1, "NGN"))
    assert account is not None
    ids = list(entries_of(account.pk).values_list("pk", flat=True))
    assert len(ids) == ENTRIES + 1
    costs = [
        pages_read(entries_of(account.pk, before=ids[place])[:PAGE].select_related(None))
        for place in (0, ENTRIES // 2, ENTRIES - PAGE)
    ]
    assert max(costs) <= 60
    with_transfers = pages_read(entries_of(account.pk, before=ids[ENTRIES // 2])[:PAGE])
    assert with_transfers <= 60 + 4 * PAGE  # and one row of the transfers for each
