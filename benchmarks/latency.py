"""G4 webhook latency, G7 fire to vendor, G12 one payload of 10,000 alerts."""

import time
from statistics import median

from benchmarks import figures, payloads, peer
from benchmarks.ingest import check
from benchmarks.load import Connection, Result, paced
from benchmarks.pipelines import Pipeline, amani_pipeline, limit_pipeline
from benchmarks.plan import Plan
from benchmarks.servers import Server, Stage, amani_environment, start_amani, start_limit
from benchmarks.table import Row, Verdict, number, pair

RATE = 20  # webhooks a second
SEGMENTS = 4
BIG = 10_000

# (p50, p99): milliseconds, or times the limit in the same run
Pair = tuple[float, float]
WEBHOOK_GOAL, WEBHOOK_GATE = ((10.0, 20.0), (1.7, 2.0)), ((15.0, 40.0), (2.5, 3.9))
VENDOR_GOAL, VENDOR_GATE = ((30.0, 60.0), (2.9, 3.2)), ((50.0, 200.0), (4.9, 11.0))
BIG_GOAL, BIG_GATE = 3.0, 10.0  # seconds


def measure(stage: Stage, plan: Plan, peer_problem: str) -> list[Row]:
    return [*webhook_rows(stage, plan, peer_problem), vendor_row(stage, plan)]


def webhook_rows(stage: Stage, plan: Plan, peer_problem: str) -> list[Row]:
    environment = amani_environment(stage, "latency", stage.postgres.make_database("latency"))
    amani = start_amani(stage, "latency", environment)
    limit = start_limit(stage, "latency_limit", stage.postgres.make_database("latency_limit"))
    servers = [amani, limit]
    if not peer_problem:
        servers.append(peer.start_alerta(stage, stage.postgres.make_database("latency_alerta")))
    measured = {server.name: pair_of(results) for server, results in webhook_results(servers, plan).items()}
    rows = [webhook_row(measured), big_row(amani, limit)]
    for server in servers:
        stage.stop(server.process)
    return rows


def webhook_results(servers: list[Server], plan: Plan) -> dict[Server, list[Result]]:
    results: dict[Server, list[Result]] = {server: [] for server in servers}
    for server in servers:
        paced(server.target, RATE, 2, seed=99)
    for segment in range(SEGMENTS):
        for server in servers:
            result = paced(server.target, RATE, plan.paced_seconds / SEGMENTS, seed=segment)
            check(server, result)
            results[server].append(result)
    return results


def pair_of(results: list[Result]) -> Pair:
    return figures.p50_p99([latency for result in results for latency in result.latencies])


def webhook_row(measured: dict[str, Pair]) -> Row:
    return latency_row(
        "G4",
        f"webhook answered, p50 / p99 ms at {RATE}/s",
        measured["latency"],
        measured["latency_limit"],
        peer=f"{pair(measured['alerta'])} Alerta" if "alerta" in measured else "not run",
        goal=WEBHOOK_GOAL,
        gate=WEBHOOK_GATE,
    )


def latency_row(
    key: str,
    measure: str,
    amani: Pair,
    limit: Pair,
    *,
    peer: str,
    goal: tuple[Pair, Pair],
    gate: tuple[Pair, Pair],
) -> Row:
    return Row(
        key=key,
        measure=measure,
        amani=pair(amani),
        limit=pair(limit),
        of_limit=f"{amani[0] / limit[0]:.1f}x / {amani[1] / limit[1]:.1f}x",
        peer=peer,
        goal=wording(goal),
        gate=wording(gate),
        verdict=Verdict.of(goal=reaches(amani, limit, goal), gate=reaches(amani, limit, gate)),
    )


def wording(threshold: tuple[Pair, Pair]) -> str:
    absolute, times = threshold
    return f"≤ {absolute[0]:.0f} / {absolute[1]:.0f} or {times[0]}x / {times[1]}x"


def reaches(amani: Pair, limit: Pair, threshold: tuple[Pair, Pair]) -> bool:
    """Each of p50 and p99 in milliseconds, or relative to the limit when the machine is slow or busy."""
    return all(
        own <= absolute or own / other <= times
        for own, other, absolute, times in zip(amani, limit, *threshold, strict=True)
    )


def big_row(amani: Server, limit: Server) -> Row:
    """One payload of 10,000 alerts, answered and all stored."""
    seconds = {
        server.name: [one_big_payload(server, attempt) for attempt in range(3)] for server in (amani, limit)
    }
    stored = amani.count("observability_episode")
    own, other = median(seconds["latency"]), median(seconds["latency_limit"])
    complete = stored >= 3 * BIG
    return Row(
        key="G12",
        measure=f"{BIG:,} alerts in one payload: seconds until 200"
        + ("" if complete else ", NOT ALL STORED"),
        amani=number(own),
        limit=number(other),
        of_limit=f"{own / other:.1f}x",
        goal=f"≤ {BIG_GOAL:.0f}",
        gate=f"≤ {BIG_GATE:.0f}",
        verdict=Verdict.of(goal=complete and own <= BIG_GOAL, gate=complete and own <= BIG_GATE),
    )


def one_big_payload(server: Server, attempt: int) -> float:
    connection = Connection(server.target)
    body = payloads.body(f"{attempt:010x}", BIG)
    began = time.monotonic()
    status = connection.post(body)
    seconds = time.monotonic() - began
    connection.close()
    if status != 200:
        raise RuntimeError(f"{server.name} answered {status} to {BIG} alerts.")
    return seconds


def vendor_row(stage: Stage, plan: Plan) -> Row:
    """From the start of the webhook to the arrival of the message that names the alert."""
    with amani_pipeline(stage, "vendor") as amani, limit_pipeline(stage, "vendor_limit") as limit:
        latencies: dict[str, list[float]] = {amani.name: [], limit.name: []}
        for pipeline in (amani, limit):
            told_after(pipeline, 2, seed=99)
        for segment in range(SEGMENTS):
            for pipeline in (amani, limit):
                latencies[pipeline.name] += told_after(pipeline, plan.paced_seconds / SEGMENTS, seed=segment)
    return latency_row(
        "G7",
        f"fire to vendor's request, p50 / p99 ms at {RATE}/s",
        figures.p50_p99(latencies[amani.name]),
        figures.p50_p99(latencies[limit.name]),
        peer="-",
        goal=VENDOR_GOAL,
        gate=VENDOR_GATE,
    )


def told_after(pipeline: Pipeline, seconds: float, seed: int) -> list[float]:
    result = paced(pipeline.server.target, RATE, seconds, seed)
    posted_at = {payloads.identity(group, 0): at for group, at in result.posted_at.items()}
    if not pipeline.wait_until_told(set(posted_at), 30):
        missing = len(posted_at.keys() - pipeline.told_at().keys())
        raise RuntimeError(f"{pipeline.name} has not sent {missing} of {len(posted_at)} alerts after 30 s.")
    told_at = pipeline.told_at()
    return [told_at[identity] - at for identity, at in posted_at.items()]
