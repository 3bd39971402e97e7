"""G5: what 100,000 alerts and a million rows of history cost the webhook, beside an empty database."""

import psycopg

from benchmarks import figures
from benchmarks.ingest import check
from benchmarks.load import fire_and_resolve
from benchmarks.plan import Plan
from benchmarks.servers import Server, Stage, amani_environment, start_amani, start_limit
from benchmarks.table import Row, Verdict

SIZES = (1, 10, 100)
EVENTS_OF_ONE = 10
GOAL, GATE = 0.85, 0.70  # of the rate with an empty database

# As the pipeline leaves it: resolved long ago, told, each with ten rows of timeline. The triggers that check
# foreign keys are off for the session, the rows are consistent.
FILL_AMANI = """
SET session_replication_role = replica;
INSERT INTO observability_episode (fingerprint, starts_at, ends_at, resolved_at, status, severity, alertname,
    summary, labels, annotations, generator_url, source, dedup_key, first_seen_at)
SELECT md5(number::text), moment, moment + interval '1 hour', moment + interval '1 hour', 'resolved',
    'warning', 'BenchmarkAlert', 'Something was wrong', jsonb_build_object('alertname', 'BenchmarkAlert', 'instance',
    md5(number::text), 'job', 'payments-api', 'severity', 'warning', 'cluster', 'eu-central-1'),
    '{"description": "The share of failing requests has been over five percent."}', '', 'alertmanager',
    'amani-' || md5(number::text), moment
FROM (SELECT number, now() - number * interval '1 minute' AS moment
      FROM generate_series(1, %(episodes)s) AS number) AS past;
INSERT INTO observability_episodeevent (episode_id, at, kind, text, request_id)
SELECT id, starts_at, CASE WHEN number = 1 THEN 'fired' ELSE 'note' END, 'Looked at it', md5(id::text)
FROM observability_episode, generate_series(1, %(events)s) AS number;
INSERT INTO observability_delivery (episode_id, channel, kind, digest_of, severity, priority, state, reason,
    created_at, next_attempt_at, attempt_count, finished_at)
SELECT id, 'slack', kind, '', 'warning', 1, 'delivered', '', starts_at, starts_at, 1, starts_at
FROM observability_episode, unnest(ARRAY['trigger', 'resolve']) AS kind;
SET session_replication_role = origin;
ANALYZE;
"""
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
