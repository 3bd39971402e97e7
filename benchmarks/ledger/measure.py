"""Runs the clients of each way in turn, 1 and 8 at once, and makes the rows of the table."""

import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack
from statistics import median

import psycopg

from benchmarks import figures, peer
from benchmarks.driven import Driven, driven
from benchmarks.ledger import releases, sweeps
from benchmarks.ledger.clients import ACCOUNTS, WAYS
from benchmarks.plan import Plan
from benchmarks.servers import ROOT, Stage, amani_environment
from benchmarks.table import Row, Verdict, number

CLIENTS = (1, 8)
ASKED_BY = {"fees": (8,), "again": (1,)}  # where the rows need only one of them
RELEASE_GOALS = (0.80, 4.0)  # of raw SQL, and times plain ORM
RELEASE_GATES = (0.15, 2.0)
LATEST_SECONDS = 60.0
FEW_ENTRIES, MANY_ENTRIES = 10, 200_000
MOST_BUFFERS = 10
FUND = """
SELECT count(*) FROM generate_series(%s::int, %s::int) AS n, ledger_post('funding', 'start:' || n,
    ARRAY['provider_clearing', 'escrow_held'], ARRAY['bank ' || n %% 100, n::text], ARRAY['NGN', 'NGN'],
    ARRAY[-1000000000, 1000000000]::bigint[], NULL, NULL, NULL, '', NULL, NULL, now(), '')
"""
# Written past the function, which needs a minute for so many: a balance is read from what is there.
MANY = """
SET session_replication_role = replica;
WITH touched AS (
    UPDATE ledger_balance b
       SET posted_minor = posted_minor + sign * %(entries)s, version = version + %(entries)s
      FROM (SELECT id, CASE owner WHEN %(owner)s THEN -1 ELSE 1 END AS sign FROM ledger_account
             WHERE kind = 'escrow_held' AND owner IN (%(owner)s, '1')) a
     WHERE b.account_id = a.id
    RETURNING a.id, sign, posted_minor - sign * %(entries)s AS before, version - %(entries)s AS version
), transfers AS (
    INSERT INTO ledger_transfer (kind, key, request_hash, entry_count, reason, request_id, event_at)
    SELECT 'correction', %(owner)s || ':' || n, ''::bytea, 2, '', '', now()
      FROM generate_series(1, %(entries)s::int) n
    RETURNING id
)
INSERT INTO ledger_entry (transfer_id, position, account_id, shard, currency, amount_minor, version,
    balance_before_minor, balance_after_minor)
SELECT t.id, CASE sign WHEN -1 THEN 1 ELSE 2 END, a.id, 0, 'NGN', sign, a.version + n,
       before + (n - 1) * sign, before + n * sign
  FROM touched a, (SELECT id, row_number() OVER (ORDER BY id) AS n FROM transfers) t;
SET session_replication_role = origin;
"""
# What escrow.ledger.balance_of asks.
BALANCE = """
EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON)
SELECT sum(b.posted_minor) FROM ledger_balance b JOIN ledger_account a ON a.id = b.account_id
WHERE a.owner = %s AND a.kind = 'escrow_held' AND a.currency = 'NGN'
"""
Rates = dict[tuple[str, int], list[float]]


def measure(stage: Stage, plan: Plan, peer_problem: str) -> list[Row]:
    environment = prepared(stage)
    with ExitStack() as running:
        ours = running.enter_context(program(stage, "clients", sys.executable, environment))
        programs = dict.fromkeys(WAYS, ours)
        if not peer_problem:
            theirs = stage.plain_environment(DATABASE_URL=stage.postgres.make_database("hordak"))
            programs["hordak"] = running.enter_context(program(stage, "hordak_client", peer.python(), theirs))
        rates = rounds(programs, plan)
    rows = [row for clients in CLIENTS for row in posting_rows(rates, clients)]
    rows += [fee_row(rates), again_row(rates), balance_row(stage)]
    return [*rows, *(release_row(rates, clients) for clients in CLIENTS), sweep_row(environment)]


def prepared(stage: Stage) -> dict[str, str]:
    """Makes the database, and returns the environment of Amani's clients."""
    environment = amani_environment(stage, "ledger", stage.postgres.make_database("ledger"))
    run([sys.executable, "manage.py", "migrate", "--verbosity=0"], environment)
    with psycopg.connect(environment["DATABASE_URL"], autocommit=True) as connection:
        connection.execute(FUND, [0, ACCOUNTS - 1])
    releases.fill(stage.postgres.superuser_url, "ledger")
    return environment | {"DJANGO_SETTINGS_MODULE": "amani.settings"}


def program(
    stage: Stage, name: str, python: str, environment: dict[str, str]
) -> AbstractContextManager[Driven]:
    return driven(stage, f"ledger-{name}", [python, "-m", f"benchmarks.ledger.{name}"], environment)


def run(command: list[str], environment: Mapping[str, str]) -> str:
    """Returns what the program printed."""
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[1:])} failed: {done.stderr[-2000:]}")
    return done.stdout


def rounds(programs: Mapping[str, Driven], plan: Plan) -> Rates:
    """Returns how often a second each way was done, by (way, clients), in rounds in which all take turns."""
    rates: Rates = defaultdict(list)
    for _ in range(plan.peer_rounds):
        for clients in CLIENTS:
            for way, running in programs.items():
                if clients not in ASKED_BY.get(way, CLIENTS):
                    continue
                rates[way, clients].append(running.number(f"{way} {clients} {plan.round_seconds}"))
    return rates


def posting_rows(rates: Rates, clients: int) -> list[Row]:
    ours, limit = rates["python", clients], rates["bare", clients]
    goal, gate = {1: (0.80, 0.65), 8: (0.65, 0.50)}[clients]
    share = figures.ratios(ours, limit)
    rows = [
        Row(
            key="L1",
            measure=f"postings/s, {clients} client(s)",
            amani=number(median(ours)),
            limit=number(median(limit)),
            of_limit=f"{share:.2f}",
            goal=f"≥ {goal:.2f}",
            gate=f"≥ {gate:.2f}",
            verdict=Verdict.of(goal=share >= goal, gate=share >= gate),
        )
    ]
    theirs = rates.get(("hordak", clients))
    if theirs:
        times = figures.ratios(ours, theirs)
        rows.append(
            Row(
                key="L2",
                measure=f"the same beside django-hordak, {clients} client(s)",
                amani=number(median(ours)),
                peer=f"{number(median(theirs))} hordak, {times:.1f}x",
                goal="≥ 4.0x",
                gate="≥ 3.0x",
                verdict=Verdict.of(goal=times >= 4.0, gate=times >= 3.0),
            )
        )
    return rows


def fee_row(rates: Rates) -> Row:
    share = figures.ratios(rates["fees", 8], rates["python", 8])
    return Row(
        key="L3",
        measure="postings/s, 8 clients, all into one fee account; limit: accounts apart",
        amani=number(median(rates["fees", 8])),
        limit=number(median(rates["python", 8])),
        of_limit=f"{share:.2f}",
        goal="≥ 0.85",
        gate="≥ 0.70",
        verdict=Verdict.of(goal=share >= 0.85, gate=share >= 0.70),
    )


def again_row(rates: Rates) -> Row:
    times = figures.ratios(rates["again", 1], rates["python", 1])
    return Row(
        key="L4",
        measure="repeats of a known key a second; limit: first posts",
        amani=number(median(rates["again", 1])),
        limit=number(median(rates["python", 1])),
        of_limit=f"{times:.2f}x",
        goal="≥ 1.5x",
        gate="≥ 1.2x",
        verdict=Verdict.of(goal=times >= 1.5, gate=times >= 1.2),
    )


def balance_row(stage: Stage) -> Row:
    """Buffers are counted, not timed: the same on every machine."""
    with psycopg.connect(stage.postgres.superuser_url, dbname="ledger", autocommit=True) as connection:
        few, many = str(ACCOUNTS + 1), str(ACCOUNTS + 2)
        for owner, entries in ((few, FEW_ENTRIES), (many, MANY_ENTRIES)):
            connection.execute(FUND, [int(owner), int(owner)])
            psycopg.ClientCursor(connection).execute(MANY, {"owner": owner, "entries": entries})
        connection.execute("VACUUM ANALYZE")
        read = {owner: buffers(connection, owner) for owner in (few, many)}
    worst = max(read.values())
    return Row(
        key="L5",
        measure=f"buffers to read a balance of {FEW_ENTRIES} / {MANY_ENTRIES:,} entries",
        amani=f"{read[few]} / {read[many]}",
        goal=f"≤ {MOST_BUFFERS}",
        gate=f"≤ {MOST_BUFFERS}",
        verdict=Verdict.of(goal=worst <= MOST_BUFFERS, gate=worst <= MOST_BUFFERS),
    )


def buffers(connection: psycopg.Connection, owner: str) -> int:
    row = connection.execute(BALANCE, [owner]).fetchone()
    plan = row[0][0]["Plan"] if row else {}
    return int(plan["Shared Hit Blocks"]) + int(plan["Shared Read Blocks"])


def release_row(rates: Rates, clients: int) -> Row:
    """Judged by both: the share of raw SQL, and how many times plain ORM."""
    ours, limit, plain = (rates[way, clients] for way in ("release", "raw", "orm"))
    share, times = figures.ratios(ours, limit), figures.ratios(ours, plain)
    goal_share, goal_times = RELEASE_GOALS
    gate_share, gate_times = RELEASE_GATES
    return Row(
        key="L6",
        measure=f"whole releases/s, {clients} client(s)",
        amani=number(median(ours)),
        limit=number(median(limit)),
        of_limit=f"{share:.2f}",
        peer=f"{number(median(plain))} plain ORM, {times:.1f}x",
        goal=f"≥ {goal_share:.2f} and {goal_times}x",
        gate=f"≥ {gate_share:.2f} and {gate_times}x",
        verdict=Verdict.of(
            goal=share >= goal_share and times >= goal_times,
            gate=share >= gate_share and times >= gate_times,
        ),
    )


def sweep_row(environment: Mapping[str, str]) -> Row:
    p99, worst = json.loads(run([sys.executable, "-m", "benchmarks.ledger.sweeps"], environment))
    return Row(
        key="L7",
        measure=f"automatic releases of {releases.ARMED:,}, {sweeps.DUE:,} due: seconds late, p99 / all",
        amani=f"{number(p99)} / {number(worst)}",
        goal=f"≤ {LATEST_SECONDS:.0f}",
        gate=f"≤ {LATEST_SECONDS:.0f}",
        verdict=Verdict.of(goal=p99 <= LATEST_SECONDS, gate=p99 <= LATEST_SECONDS),
    )
