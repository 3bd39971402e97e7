"""S1: what the periodic snapshot costs at a million entries, 200,000 balances and 100,000 open escrows.

As a program of its own it takes snapshots, with transfers in between, and prints how long each took.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import psycopg

from benchmarks.plan import Plan
from benchmarks.servers import ROOT, Stage, amani_environment
from benchmarks.table import Row, Verdict, number

ESCROWS, SELLERS, OPEN_ESCROWS = 200_000, 1_000, 100_000
SNAPSHOTS, NEW_TRANSFERS = 40, 100
CATCHING_UP = 300  # snapshots at the most, until what was there before is counted; they are not measured
GOAL_MS, GATE_MS = 50.0, 100.0

# 200,000 escrows that were funded (two entries) and released (three), by direct writes: to post them would
# take minutes.
FILL = """
SET session_replication_role = replica;
INSERT INTO ledger_account (id, kind, owner, currency, is_house, shards)
SELECT n, 'escrow_held', n::text, 'NGN', false, 1 FROM generate_series(1, %(escrows)s::int) n UNION ALL
SELECT %(escrows)s + n, 'seller_payable', n::text, 'NGN', false, 1 FROM generate_series(1, %(sellers)s::int) n
UNION ALL VALUES (1000001, 'provider_clearing', 'bank', 'NGN', true, 16),
    (1000002, 'platform_fee', '', 'NGN', true, 16);
INSERT INTO ledger_transfer (id, kind, key, request_hash, entry_count, reason, request_id, event_at)
SELECT n, 'funding', 'f:' || n, ''::bytea, 2, '', '', now() FROM generate_series(1, %(escrows)s::int) n;
INSERT INTO ledger_transfer (id, kind, key, request_hash, entry_count, reason, request_id, event_at)
SELECT %(escrows)s + id, 'release', 'r:' || id, request_hash, 3, '', '', now() FROM ledger_transfer;
WITH legs AS (
    SELECT n * 10 AS at, n AS transfer, 1 AS position, 1000001 AS account, n %% 16 AS shard, -100 AS amount
      FROM generate_series(1, %(escrows)s::int) n
    UNION ALL SELECT n * 10 + 1, n, 2, n, 0, 100 FROM generate_series(1, %(escrows)s::int) n
    UNION ALL SELECT n * 10 + 2, %(escrows)s + n, 1, n, 0, -100 FROM generate_series(1, %(escrows)s::int) n
    UNION ALL SELECT n * 10 + 3, %(escrows)s + n, 2, %(escrows)s + 1 + n %% %(sellers)s, 0, 98
      FROM generate_series(1, %(escrows)s::int) n
    UNION ALL SELECT n * 10 + 4, %(escrows)s + n, 3, 1000002, n %% 16, 2
      FROM generate_series(1, %(escrows)s::int) n
)
INSERT INTO ledger_entry (transfer_id, position, account_id, shard, currency, amount_minor, version,
    balance_before_minor, balance_after_minor)
SELECT transfer, position, account, shard, 'NGN', amount, row_number() OVER chain,
       sum(amount) OVER chain - amount, sum(amount) OVER chain
  FROM legs WINDOW chain AS (PARTITION BY account, shard ORDER BY at) ORDER BY at;
INSERT INTO ledger_balance (account_id, shard, currency, floor_minor, posted_minor, version)
SELECT a.id, s, 'NGN', CASE WHEN a.is_house THEN -(2::numeric ^ 62)::bigint ELSE 0 END,
       coalesce(e.total, 0), coalesce(e.version, 0)
  FROM ledger_account a CROSS JOIN generate_series(0, a.shards - 1) s
  LEFT JOIN (SELECT account_id, shard, sum(amount_minor) total, max(version) AS version
               FROM ledger_entry GROUP BY 1, 2) e ON e.account_id = a.id AND e.shard = s;
INSERT INTO escrow_escrow (id, public_id, creator_id, buyer_id, seller_id, currency, state, version, terms_id,
    due_minor, funded_minor, created_at, agreed_at, state_since)
SELECT n, gen_random_uuid(), 1, 1, 2, 'NGN', 'in_progress', 1, 1, 100, 100, now(), now(), now()
  FROM generate_series(1, %(open)s::int) n;
INSERT INTO escrow_milestone (public_id, escrow_id, seq, title, amount_minor, buyer_fee_minor,
    seller_fee_minor, released_minor, refunded_minor, state, version, created_at, auto_release_at)
SELECT gen_random_uuid(), n, 1, 'x', 100, 0, 0, 0, 0, 'submitted', 1, now(), now() + interval '3 days'
  FROM generate_series(1, %(open)s::int) n;
SELECT setval(pg_get_serial_sequence('ledger_account', 'id'), 1000002),
       setval(pg_get_serial_sequence('ledger_transfer', 'id'), max(id)) FROM ledger_transfer;
SET session_replication_role = origin;
"""


def measure(stage: Stage, _plan: Plan, _peer_problem: str) -> list[Row]:
    environment = amani_environment(stage, "snapshot", stage.postgres.make_database("snapshot"))
    run([sys.executable, "manage.py", "migrate", "--verbosity=0"], environment)
    values = {"escrows": ESCROWS, "sellers": SELLERS, "open": OPEN_ESCROWS}
    with psycopg.connect(stage.postgres.superuser_url, dbname="snapshot") as connection:
        psycopg.ClientCursor(connection).execute(FILL, values)
    with psycopg.connect(environment["DATABASE_URL"], autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")
    environment["DJANGO_SETTINGS_MODULE"] = "amani.settings"
    said = run([sys.executable, "-m", "benchmarks.ledger.snapshot"], environment)
    took = json.loads(said.splitlines()[-1])
    usual = 1000 * median(seconds for seconds, _ in took)
    work = 1000 * sum(worked for _, worked in took) / len(took)
    return [
        Row(
            key="S1",
            measure=f"snapshot at a million entries, {NEW_TRANSFERS} new transfers: ms, of CPU",
            amani=f"{number(usual)} / {number(work)}",
            goal=f"≤ {GOAL_MS:.0f}",
            gate=f"≤ {GATE_MS:.0f}",
            verdict=Verdict.of(goal=usual <= GOAL_MS, gate=usual <= GATE_MS),
        )
    ]


def run(command: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[1:])} failed: {done.stderr[-2000:]}")
    return done.stdout


def main() -> None:
    import django

    django.setup()
    from escrow.snapshot import causes, check_books

    catch_up()
    took = [measured(snapshot) for snapshot in range(SNAPSHOTS)]
    books = check_books()
    if books is None or causes(books):
        sys.exit("The books of the benchmark are wrong.")
    print(json.dumps(took))


def catch_up() -> None:
    from escrow.models import LedgerWatch
    from escrow.snapshot import take_snapshot

    for _ in range(CATCHING_UP):
        take_snapshot()
        watch = LedgerWatch.objects.get()
        if watch.checked_id == watch.candidate_id:
            return
    sys.exit("The snapshot does not catch up.")


def measured(snapshot: int) -> tuple[float, float]:
    """Returns seconds of time and of processor time (its own, and of its session in PostgreSQL)."""
    from django.db import connection

    from escrow.ledger import Leg, TransferKind, clearing, held, post
    from escrow.snapshot import take_snapshot

    for place in range(NEW_TRANSFERS):
        legs = [Leg(clearing("bank", "NGN"), -100), Leg(held(place * 97 + 1, "NGN"), 100)]
        post(kind=TransferKind.FUNDING, key=f"s:{snapshot}:{place}", legs=legs)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        session = Path(f"/proc/{cursor.fetchone()[0]}/stat")
    began, worked = time.perf_counter(), time.process_time() + processor_time(session)
    take_snapshot()
    return time.perf_counter() - began, time.process_time() + processor_time(session) - worked


def processor_time(session: Path) -> float:
    user, system = session.read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
