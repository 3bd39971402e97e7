"""G5: what 100,000 alerts and a million rows of history cost the webhook, beside an empty database."""

import psycopg

from benchmarks import figures, payloads
from benchmarks.ingest import check
from benchmarks.load import Connection, fire_and_resolve
from benchmarks.plan import Plan
from benchmarks.servers import Server, Stage, amani_environment, start_amani, start_limit
from benchmarks.table import Row, Verdict

SIZES = (1, 10, 100)
EVENTS_OF_ONE = 10
GOAL, GATE = 0.85, 0.70  # of the rate with an empty database

# Copies of a row that the webhook has stored, so that this need not know every column. The triggers that
# check foreign keys are off for the session; the rows are consistent.
COPY = """
INSERT INTO observability_{table}
SELECT copy.* FROM (SELECT sample FROM observability_{table} AS sample ORDER BY id LIMIT 1) AS one,
    {source}, LATERAL jsonb_populate_record(one.sample, jsonb_build_object({changes})) AS copy;
SELECT setval(pg_get_serial_sequence('observability_{table}', 'id'), max(id)) FROM observability_{table};
"""
FIRST_ID = 1_000
FILL_AMANI = "".join(
    [
        "SET session_replication_role = replica;",
        COPY.format(
            table="episode",
            source="generate_series(1, %(episodes)s) AS number",
            changes=f"'id', {FIRST_ID} + number, 'fingerprint', md5(number::text), "
            "'dedup_key', md5(number::text), 'starts_at', now() - number * interval '1 minute'",
        ),
        COPY.format(
            table="episodeevent",
            source="generate_series(0, %(episodes)s * %(events)s - 1) AS number",
            changes=f"'id', {FIRST_ID} + number, 'episode_id', {FIRST_ID} + 1 + number / %(events)s",
        ),
        COPY.format(
            table="delivery",
            source="generate_series(1, %(episodes)s) AS number",
            changes=f"'id', {FIRST_ID} + number, 'episode_id', {FIRST_ID} + number, 'state', 'delivered', "
            "'finished_at', now()",
        ),
        "SET session_replication_role = origin; ANALYZE;",
    ]
)
FILL_LIMIT = """
INSERT INTO alert (fingerprint, status, starts_at, labels, annotations, updated_at)
SELECT md5(number::text), 'resolved', now(), '{"alertname": "BenchmarkAlert"}', '{}', now()
FROM generate_series(1, %(episodes)s) AS number;
INSERT INTO event (alert_id, status, at)
SELECT id, 'resolved', now() FROM alert, generate_series(1, %(events)s);
INSERT INTO outbox (alert_id, status, sent_at) SELECT id, 'resolved', now() FROM alert;
ANALYZE;
"""


def measure(stage: Stage, plan: Plan, _peer_problem: str) -> list[Row]:
    amani = [start(stage, name) for name in ("history_none", "history")]
    limit = [
        start_limit(stage, name, stage.postgres.make_database(name))
        for name in ("history_limit_none", "history_limit")
    ]
    one_resolved_alert(amani[1])
    fill(stage, "history", FILL_AMANI, plan)
    fill(stage, "history_limit", FILL_LIMIT, plan)
    own = {size: share_kept(amani, plan, size) for size in SIZES}
    other = {size: share_kept(limit, plan, size) for size in SIZES}
    for server in (*amani, *limit):
        stage.stop(server.process)
    return [row(plan, own, other)]


def start(stage: Stage, name: str) -> Server:
    environment = amani_environment(stage, name, stage.postgres.make_database(name))
    return start_amani(stage, name, environment)


def one_resolved_alert(server: Server) -> None:
    connection = Connection(server.target)
    for status in ("firing", "resolved"):
        connection.post(payloads.body("0123456789", 1, status))
    connection.close()


def fill(stage: Stage, database: str, statements: str, plan: Plan) -> None:
    counts = {"episodes": plan.preloaded_episodes, "events": EVENTS_OF_ONE}
    address = stage.postgres.address("postgres", database)
    with psycopg.connect(address, autocommit=True, cursor_factory=psycopg.ClientCursor) as connection:
        connection.execute(statements, counts)
        connection.execute("CHECKPOINT")  # its writes are not the webhooks'


def share_kept(servers: list[Server], plan: Plan, size: int) -> float:
    """The rate with history, as a share of the rate without; in turn, the median of the rounds."""
    empty, full = servers
    rates: dict[str, list[float]] = {empty.name: [], full.name: []}
    for server in servers:
        fire_and_resolve(server.target, size, 0.5, seed=20_000 + size)
    for round_number in range(plan.history_rounds):
        for server in servers:
            seed = 30_000 + size * 100 + round_number
            result = fire_and_resolve(server.target, size, plan.round_seconds, seed)
            check(server, result)
            rates[server.name].append(result.rate)
        empty.empty()
    return figures.ratios(rates[full.name], rates[empty.name])


def row(plan: Plan, own: dict[int, float], other: dict[int, float]) -> Row:
    worst = min(own.values())
    return Row(
        key="G5",
        measure=f"rate kept with {plan.preloaded_episodes:,} old alerts, 1 / 10 / 100",
        amani=shares(own),
        limit=shares(other),
        goal=f"≥ {GOAL}",
        gate=f"≥ {GATE}",
        verdict=Verdict.of(goal=worst >= GOAL, gate=worst >= GATE),
    )


def shares(kept: dict[int, float]) -> str:
    return " / ".join(f"{share:.2f}" for share in kept.values())
