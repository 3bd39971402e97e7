"""Lists and pages over 15,000 escrows, payouts, collections and webhooks: as many queries, few rows read."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
from django.db import connection
from django.db.models import Model
from django.test import Client

from core.tests.plans import rows_read, statements_of
from escrow.admin.tests.payments import Payments, whole_payments
from escrow.escrows.tests import deals
from escrow.models import Escrow

pytestmark = pytest.mark.django_db

MANY = 15_000
MOST_ROWS_READ = 11_000  # counting stops at 10,000 rows
# Copies of one row, as some years leave them behind: ended.
FILL = """
ALTER TABLE {table} DISABLE TRIGGER USER;
INSERT INTO {table}
SELECT made.* FROM {table} AS row, generate_series(1, {many}) AS n, LATERAL jsonb_populate_record(
    row, jsonb_build_object('id', nextval(pg_get_serial_sequence('{table}', 'id')), {changes})) AS made
WHERE row.id = {pk};
ANALYZE {table};
"""
ENDED = """
'public_id', gen_random_uuid(), 'reference', 'many-' || n, 'next_attempt_at', NULL, 'finished_at', now(),
'created_at', now() - n * interval '1 minute'
"""


class Rows(NamedTuple):
    escrow: Escrow
    payments: Payments


def fill(row: Model, changes: str) -> None:
    table = row._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(FILL.format(table=table, many=MANY, pk=row.pk, changes=changes))


def fill_all(rows: Rows) -> None:
    other = deals.make_party().pk
    payout, collection, event = rows.payments
    fill(
        rows.escrow,
        "'public_id', gen_random_uuid(), 'state', 'completed', 'closed_at', now(),"
        f"'created_at', now() - n * interval '1 minute', 'buyer_id', {other}, 'creator_id', {other}",
    )
    sent = "'state', 'settled', 'first_sent_at', now(), 'last_sent_at', now(), 'hold_id', NULL"
    fill(payout, f"{ENDED}, {sent}, 'user_id', {other}")
    fill(collection, f"{ENDED}, 'state', 'received', 'received_minor', 1, 'payer_id', {other}")
    about = "'payout_id', NULL, 'collection_id', NULL"
    fill(event, f"'event_id', 'many-' || n, 'state', 'done', {about}")


ESCROWS, PAYOUTS, COLLECTIONS, EVENTS = (
    f"/admin/escrow/{name}/" for name in ("escrow", "payout", "collection", "paymentevent")
)


def addresses(rows: Rows) -> list[str]:
    payout, collection, event = rows.payments
    return [
        ESCROWS,
        *(f"{ESCROWS}?{query}" for query in ("state=completed", "state=funded", "flag=frozen")),
        f"{ESCROWS}?party={rows.escrow.buyer_id}",
        f"{ESCROWS}{rows.escrow.pk}/change/",
        PAYOUTS,
        *(f"{PAYOUTS}?{query}" for query in ("state__exact=settled", "state__exact=requested")),
        f"{PAYOUTS}?user__in={payout.user_id}",
        f"{PAYOUTS}{payout.pk}/change/",
        COLLECTIONS,
        *(f"{COLLECTIONS}?{query}" for query in ("state__exact=received", "state__exact=reversed")),
        f"{COLLECTIONS}?payer__in={collection.payer_id}",
        f"{COLLECTIONS}{collection.pk}/change/",
        EVENTS,
        *(f"{EVENTS}?{query}" for query in ("state__exact=done", "state__exact=failed")),
        f"{EVENTS}{event.pk}/change/",
        *(f"{rows_of}?provider=sandbox" for rows_of in (PAYOUTS, COLLECTIONS, EVENTS)),
        *(f"{rows_of}?flag=contradicted" for rows_of in (PAYOUTS, COLLECTIONS)),
        "/admin/",
    ]


def test_lists_and_pages_of_15_000_rows_take_the_same_queries_and_read_few_rows(admin_client: Client) -> None:
    rows = Rows(deals.funded().escrow, whole_payments())
    few = {address: len(statements_of(admin_client, address)) for address in addresses(rows)}
    fill_all(rows)
    wrong: list[Any] = []
    for address, count in few.items():
        statements = statements_of(admin_client, address)
        assert len(statements) == count, (address, statements)
        for statement in statements:
            read, plan = rows_read(statement)
            if read > MOST_ROWS_READ:
                wrong.append((address, read, statement, plan))
    assert wrong == []
