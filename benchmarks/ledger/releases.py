"""A whole release: a buyer approves a delivery, and the seller gets its money. Amani, raw SQL, plain ORM.

All three lock the escrow and its milestones, ask whether the money is stopped, whether the seller's KYC
stands and which limit they have, use it, post three legs, move the milestone by two steps and the escrow by
one, and append an event for each step, in one transaction, under the same constraints and triggers.
"""

import os
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import psycopg

from benchmarks.ledger.rounds import Once

ARMED = 100_000  # delivered milestones; of so many the due ones are found
FUNDED = 40_000  # of these, with their money: more than all rounds release, and the sweeps
PEOPLE, CHUNK = 1_000, 50
FIRST_ESCROW = 1_000_000

# Escrows in progress with one delivered milestone, written past the services, which would need minutes. Their
# money is posted, out of many accounts: one statement cannot remove its own old versions of a balance. The
# triggers are back when the rounds begin.
FILL = """
SET session_replication_role = replica;
INSERT INTO accounts_user (id, password, is_superuser, email, full_name, is_staff, is_active, date_joined)
SELECT %(people)s + n, '', false, n || '@example.com', '', false, true, now()
  FROM generate_series(0, %(count)s * 2 - 1) n;
INSERT INTO kyc_case (public_id, person_id, document_type, country, number_encrypted, number_hash,
    number_last, state, version, provider, created_at, reason_code, reason, expires_at)
SELECT gen_random_uuid(), %(people)s + %(count)s + n, kind, 'NG', '', md5(kind || n), '', 'approved', 3, '',
       now(), '', '', now() + interval '1 year'
  FROM generate_series(0, %(count)s - 1) n, unnest(ARRAY['nin', 'bvn', 'passport']) kind;
INSERT INTO escrow_escrow (id, public_id, creator_id, buyer_id, seller_id, currency, state, version, terms_id,
    due_minor, funded_minor, created_at, agreed_at, state_since)
SELECT id, gen_random_uuid(), buyer, buyer, buyer + %(count)s, 'NGN', 'in_progress', 5, id, 10075, 10075,
       now(), now(), now()
  FROM (SELECT %(escrows)s + n AS id, %(people)s + n %% %(count)s AS buyer
          FROM generate_series(0, %(armed)s - 1) n) e;
INSERT INTO escrow_escrowterms (id, escrow_id, number, proposed_by_id, document, hash, created_at)
SELECT id, id, 1, buyer_id, '{"inspection_days": 3}', '', now() FROM escrow_escrow;
INSERT INTO escrow_milestone (public_id, escrow_id, seq, title, amount_minor, buyer_fee_minor,
    seller_fee_minor, released_minor, refunded_minor, state, version, created_at, submitted_at,
    auto_release_at)
SELECT gen_random_uuid(), id, 1, 'All', 10000, 75, 75, 0, 0, 'submitted', 2, now(), now(),
       now() + interval '3 days'
  FROM escrow_escrow;
SET session_replication_role = origin;
SELECT count(*) FROM generate_series(%(escrows)s, %(escrows)s + %(funded)s - 1) AS e, ledger_post('funding',
    'escrow:' || e, ARRAY['provider_clearing', 'escrow_held'], ARRAY['bank ' || e %% 500, e::text],
    ARRAY['NGN', 'NGN'], ARRAY[-10075, 10075]::bigint[], e, NULL, NULL, '', NULL, NULL, now(), '');
CREATE SEQUENCE chunk MINVALUE 0;
GRANT ALL ON SEQUENCE chunk TO PUBLIC;
"""
VALUES = {
    "people": 1_000_000,
    "escrows": FIRST_ESCROW,
    "count": PEOPLE,
    "armed": ARMED,
    "funded": FUNDED,
}
MINE = """
SELECT m.public_id, e.buyer_id FROM escrow_milestone m JOIN escrow_escrow e ON e.id = m.escrow_id
 WHERE m.state = 'submitted' AND e.id BETWEEN %(first)s AND %(first)s + %(chunk)s - 1 ORDER BY e.id
"""


def fill(superuser_url: str, database: str) -> None:
    with psycopg.connect(superuser_url, dbname=database, autocommit=True) as connection:
        psycopg.ClientCursor(connection).execute(FILL, VALUES)
        connection.execute("VACUUM ANALYZE")


def deliveries() -> Iterator[tuple[UUID, int]]:
    """Yields what a client releases: a milestone and its buyer. No two clients get the same."""
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        while True:
            row = connection.execute("SELECT nextval('chunk')").fetchone()
            first = FIRST_ESCROW + (row[0] if row else 0) * CHUNK
            yield from connection.execute(MINE, {"first": first, "chunk": CHUNK}).fetchall()


# --- Amani ---


def release(_number: int) -> Once:
    from accounts.models import User
    from escrow import escrows

    mine = deliveries()

    def approve() -> object:
        public_id, buyer_id = next(mine)
        return escrows.approve(actor=User(pk=buyer_id), public_id=public_id)

    return approve


# --- The limit: what the database has to do, in three statements ---

LOCK = """
SELECT m.id, e.id, e.seller_id, m.state, m.version, m.amount_minor, m.buyer_fee_minor, m.seller_fee_minor,
       (SELECT array_agg(ARRAY[c.state, c.document_type, c.country]) FROM kyc_case c
         WHERE c.person_id = e.seller_id AND c.state IN ('approved', 'revoked')),
       (SELECT r.amount_minor FROM kyc_limitrule r
         WHERE r.tier = 3 AND r.currency = e.currency AND r.kind = 'balance' AND r.valid_from <= now()
         ORDER BY r.valid_from DESC LIMIT 1),
       EXISTS (SELECT FROM escrow_moneystop WHERE cleared_at IS NULL)
  FROM escrow_milestone m JOIN escrow_escrow e ON e.id = m.escrow_id
 WHERE m.public_id = %s AND (e.buyer_id = %s OR e.seller_id = %s)
   FOR NO KEY UPDATE OF e, m
"""
REQUEST = """
WITH milestone AS (
    UPDATE escrow_milestone SET state = 'release_requested', version = version + 1, state_since = %(now)s,
           auto_release_at = %(now)s
     WHERE id = %(milestone)s
), event AS (
    INSERT INTO escrow_milestoneevent (at, event, from_state, to_state, actor_id, provider, request_id,
           milestone_id)
    VALUES (%(now)s, 'approve', 'submitted', 'release_requested', %(buyer)s, '', '', %(milestone)s)
)
INSERT INTO kyc_limitusage AS usage (person_id, currency, kind, window_start, used_minor, cap_minor)
VALUES (%(seller)s, 'NGN', 'balance', %(always)s, %(amount)s, %(cap)s)
ON CONFLICT (person_id, currency, kind, window_start) DO UPDATE
SET used_minor = usage.used_minor + excluded.used_minor, cap_minor = excluded.cap_minor
WHERE usage.used_minor <= excluded.cap_minor - excluded.used_minor
RETURNING kind
"""
RELEASE = """
WITH milestone AS (
    UPDATE escrow_milestone SET state = 'released', version = version + 1, state_since = %(now)s,
           auto_release_at = NULL, closed_at = %(now)s, released_minor = amount_minor
     WHERE id = %(milestone)s
), events AS (
    INSERT INTO escrow_milestoneevent (at, event, from_state, to_state, actor_id, provider, request_id,
           milestone_id, amount_minor)
    VALUES (%(now)s, 'release', 'release_requested', 'released', %(buyer)s, '', '', %(milestone)s, %(gross)s)
), escrow AS (
    UPDATE escrow_escrow SET state = 'completed', version = version + 1, state_since = %(now)s,
           closed_at = %(now)s, cancel_asked_by_id = NULL
     WHERE id = %(escrow)s
), ended AS (
    INSERT INTO escrow_escrowevent (at, event, from_state, to_state, actor_id, provider, request_id,
           escrow_id)
    VALUES (%(now)s, 'complete', 'in_progress', 'completed', %(buyer)s, '', '', %(escrow)s)
)
SELECT * FROM ledger_post('release', %(key)s, ARRAY['escrow_held', 'seller_payable', 'platform_fee'],
    ARRAY[%(escrow)s::text, %(seller)s::text, ''], ARRAY['NGN', 'NGN', 'NGN'],
    ARRAY[%(held)s, %(amount)s, %(fee)s]::bigint[], %(escrow)s, %(milestone)s, %(buyer)s, '', NULL, NULL,
    %(now)s, '')
"""
ALWAYS = date(1970, 1, 1)


def raw(_number: int) -> Once:
    connection = psycopg.connect(os.environ["DATABASE_URL"])
    mine = deliveries()

    def release_once() -> object:
        public_id, buyer = next(mine)
        with connection.transaction():
            return release_by_sql(connection, public_id, buyer)

    return release_once


def release_by_sql(connection: psycopg.Connection[Any], public_id: UUID, buyer: int) -> object:
    row = connection.execute(LOCK, [public_id, buyer, buyer]).fetchone()
    if row is None:
        raise RuntimeError("There is no such milestone.")
    milestone, escrow, seller, state, version, gross, buyer_fee, seller_fee, cases, cap, stopped = row
    if state != "submitted" or stopped or any(case[0] == "revoked" for case in cases):
        raise RuntimeError("It cannot be released.")
    values = {
        "milestone": milestone, "escrow": escrow, "seller": seller, "buyer": buyer, "now": datetime.now(UTC),
        "gross": gross, "amount": gross - seller_fee, "held": -gross - buyer_fee,
        "fee": buyer_fee + seller_fee, "cap": cap, "always": ALWAYS,
        "key": f"milestone:{milestone}:release:{version + 1}",
    }  # fmt: skip
    if connection.execute(REQUEST, values).fetchone() is None:
        raise RuntimeError("The limit is used up.")
    return connection.execute(RELEASE, values).fetchone()


# --- The peer: the same in plain ORM, as a Django project without a posting function would write it ---


def orm(_number: int) -> Once:
    from benchmarks.ledger.plain import release_plainly

    mine = deliveries()
    return lambda: release_plainly(*next(mine))
