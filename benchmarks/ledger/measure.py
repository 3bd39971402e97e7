"""Runs the clients of each way in turn, 1 and 8 at once, and makes the rows of the table."""

import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping
from statistics import median

import psycopg

from benchmarks import figures, peer
from benchmarks.ledger.clients import ACCOUNTS
from benchmarks.plan import Plan
from benchmarks.servers import ROOT, Stage, amani_environment
from benchmarks.table import Row, Verdict, number

CLIENTS = (1, 8)
FEW_ENTRIES, MANY_ENTRIES = 10, 200_000
MOST_BUFFERS = 10
FUND = """
SELECT count(*) FROM generate_series(%s::int, %s::int) AS n, ledger_post('funding', 'start:' || n,
    ARRAY['provider_clearing', 'escrow_held'], ARRAY['bank', n::text], ARRAY['NGN', 'NGN'],
    ARRAY[-1000000000, 1000000000]::bigint[], NULL, NULL, NULL, '', NULL, NULL, now(), '')
"""
MANY = """
SELECT count(*) FROM generate_series(1, %s) AS n, ledger_post('correction', %s || n,
    ARRAY['escrow_held', 'escrow_held'], ARRAY[%s, '1'], ARRAY['NGN', 'NGN'],
    ARRAY[-1, 1]::bigint[], NULL, NULL, NULL, '', NULL, NULL, now(), '')
"""
# What escrow.ledger.balance_of asks.
BALANCE = """
EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON)
SELECT sum(b.posted_minor) FROM ledger_balance b JOIN ledger_account a ON a.id = b.account_id
WHERE a.owner = %s AND a.kind = 'escrow_held' AND a.currency = 'NGN'
"""
Rates = dict[tuple[str, int], list[float]]


def measure(stage: Stage, plan: Plan, peer_problem: str) -> list[Row]:
    environment = amani_environment(stage, "ledger", stage.postgres.make_database("ledger"))
    run([sys.executable, "manage.py", "migrate", "--verbosity=0"], environment)
    with psycopg.connect(environment["DATABASE_URL"], autocommit=True) as connection:
        connection.execute(FUND, [0, ACCOUNTS - 1])
    ways = {way: [sys.executable, "-m", "benchmarks.ledger.clients", way] for way in ("bare", "python")}
    ways |= {way: [sys.executable, "-m", "benchmarks.ledger.clients", way] for way in ("fees", "again")}
    environments = dict.fromkeys(ways, environment)
    if not peer_problem:
        client = str(ROOT / "benchmarks" / "ledger" / "hordak_client.py")
        ways["hordak"] = [peer.python(), client, "run"]
        environments["hordak"] = stage.plain_environment(DATABASE_URL=stage.postgres.make_database("hordak"))
        run([peer.python(), client, "prepare"], environments["hordak"])
    rates: Rates = defaultdict(list)
    for _ in range(plan.peer_rounds):
        for clients in CLIENTS:
            for way, command in ways.items():
                rate = round_of(command, environments[way], clients, plan.round_seconds)
                rates[way, clients].append(rate)
    rows = [row for clients in CLIENTS for row in posting_rows(rates, clients)]
    return [*rows, fee_row(rates), again_row(rates), balance_row(environment["DATABASE_URL"])]


def run(command: list[str], environment: Mapping[str, str]) -> None:
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[1:])} failed: {done.stderr[-2000:]}")


def round_of(command: list[str], environment: Mapping[str, str], clients: int, seconds: float) -> float:
    """Returns how many postings a second `clients` processes made together."""
    started = [
        subprocess.Popen(
            [*command, str(number), str(seconds)],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(clients)
    ]
    for process in started:
        if process.stdout is None or process.stdout.readline() != "ready\n":
            raise RuntimeError(f"A client did not start: {' '.join(command)}")
    for process in started:
        if process.stdin is not None:
            process.stdin.write("\n")
            process.stdin.flush()
    return float(sum(json.loads(process.communicate()[0])["rate"] for process in started))


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


def balance_row(database_url: str) -> Row:
    """Buffers are counted, not timed: the same on every machine."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        few, many = str(ACCOUNTS + 1), str(ACCOUNTS + 2)
        for owner, entries in ((few, FEW_ENTRIES), (many, MANY_ENTRIES)):
            connection.execute(FUND, [int(owner), int(owner)])
            connection.execute(MANY, [entries, f"{owner}:", owner])
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
