"""G8 notifications while ingesting, G9 and G10 storms, G11 a storm into a slow channel."""

import time
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice

from benchmarks import payloads
from benchmarks.ingest import check
from benchmarks.load import Result, fire, storm
from benchmarks.pipelines import Pipeline, amani_pipeline, limit_pipeline
from benchmarks.plan import Plan
from benchmarks.servers import Stage
from benchmarks.table import Row, Verdict, number, pair

LONGEST_STORM_SECONDS = 120.0
SIZES = {"G9": 100, "G10": 10}
# (stored, sent): seconds for 10,000 alerts, or times the limit
STORM_GOALS = {"G9": ((3.0, 3.0), (5.0, 5.0)), "G10": ((8.0, 10.0), (3.3, 4.2))}
STORM_GATES = {"G9": ((5.0, 6.0), (8.0, 10.0)), "G10": ((15.0, 20.0), (6.0, 8.0))}
NOTIFYING_GOAL, NOTIFYING_GATE = (200.0, 0.25), (100.0, 0.15)  # a second, or share of the limit
SLOW_GOAL, SLOW_GATE = 30, 60  # seconds and requests


@dataclass(frozen=True)
class Weathered:
    """Seconds until the storm was stored, and until every alert was named in a message that was taken."""

    stored: float
    sent: float
    messages: int


def measure(stage: Stage, plan: Plan, _peer_problem: str) -> list[Row]:
    return [notifying_row(stage, plan), *storm_rows(stage, plan), slow_channel_row(stage, plan)]


def notifying_row(stage: Stage, plan: Plan) -> Row:
    """One message an alert, as the limit does it: to PagerDuty, for which Amani makes no digests."""
    with ExitStack() as stack:
        amani = stack.enter_context(amani_pipeline(stage, "single", ALERT_ROUTES="warning=pagerduty"))
        limit = stack.enter_context(limit_pipeline(stage, "single_limit"))
        own, other = [told_per_second(pipeline, plan) for pipeline in (amani, limit)]
    share = own / other
    (goal, goal_share), (gate, gate_share) = NOTIFYING_GOAL, NOTIFYING_GATE
    return Row(
        key="G8",
        measure="notifications/s while ingesting (PagerDuty)",
        amani=number(own),
        limit=number(other),
        of_limit=f"{share:.2f}",
        goal=f"≥ {goal:.0f} or {goal_share}",
        gate=f"≥ {gate:.0f} or {gate_share}",
        verdict=Verdict.of(goal=own >= goal or share >= goal_share, gate=own >= gate or share >= gate_share),
    )


def told_per_second(pipeline: Pipeline, plan: Plan) -> float:
    fire(pipeline.server.target, 0.5, seed=1)
    pipeline.drain()
    began = time.monotonic()
    result = fire(pipeline.server.target, plan.notifying_seconds, seed=2)
    check(pipeline.server, result)
    arrived = pipeline.told_at().values()
    pipeline.drain()  # before the next one is measured
    sent = sum(began <= at <= began + result.seconds for at in arrived)
    return sent / result.seconds


def storm_rows(stage: Stage, plan: Plan) -> list[Row]:
    rows = []
    with amani_pipeline(stage, "storm") as amani, limit_pipeline(stage, "storm_limit") as limit:
        for pipeline in (amani, limit):
            weather(pipeline, plan.storm_alerts // 10, 10, seed=3)  # connections, plans, imports
        for key, size in SIZES.items():
            own, other = [weather(each, plan.storm_alerts, size, seed=size) for each in (amani, limit)]
            rows.append(storm_row(key, size, plan, own, other))
    return rows


def weather(pipeline: Pipeline, alerts: int, size: int, seed: int) -> Weathered:
    pipeline.drain()
    before = len(pipeline.arrivals())
    groups = list(islice(payloads.group_names(seed), alerts // size))
    began = time.monotonic()
    result = storm(pipeline.server.target, groups, size)
    check(pipeline.server, result)
    sent = seconds_until_sent(pipeline, groups, size, began)
    return Weathered(result.seconds, sent, len(pipeline.arrivals()) - before)


def seconds_until_sent(pipeline: Pipeline, groups: list[str], size: int, began: float) -> float:
    identities = {payloads.identity(group, index) for group in groups for index in range(size)}
    if not pipeline.wait_until_told(identities, LONGEST_STORM_SECONDS):
        return float("inf")
    told_at = pipeline.told_at()
    return max(told_at[identity] for identity in identities) - began


def storm_row(key: str, size: int, plan: Plan, own: Weathered, other: Weathered) -> Row:
    alerts = plan.storm_alerts
    times = (own.stored / other.stored, own.sent / other.sent)
    share = alerts / 10_000

    def reaches(threshold: tuple[tuple[float, float], tuple[float, float]]) -> bool:
        seconds, of_limit = threshold
        return (own.stored <= seconds[0] * share or times[0] <= of_limit[0]) and (
            own.sent <= seconds[1] * share or times[1] <= of_limit[1]
        )

    return Row(
        key=key,
        measure=f"{alerts:,} alerts, {alerts // size:,} x {size}: seconds until stored / sent",
        amani=f"{pair((own.stored, own.sent))} in {own.messages} messages",
        limit=f"{pair((other.stored, other.sent))} in {other.messages:,}",
        of_limit=f"{times[0]:.1f}x / {times[1]:.1f}x",
        goal=wording(STORM_GOALS[key], share),
        gate=wording(STORM_GATES[key], share),
        verdict=Verdict.of(goal=reaches(STORM_GOALS[key]), gate=reaches(STORM_GATES[key])),
    )


def wording(threshold: tuple[tuple[float, float], tuple[float, float]], share: float) -> str:
    (stored, sent), (stored_times, told_times) = threshold
    return f"≤ {stored * share:g} / {sent * share:g} or {stored_times}x / {told_times}x"


def slow_channel_row(stage: Stage, plan: Plan) -> Row:
    """The pace of production, into a vendor that answers 429 to a second message within a second."""
    groups = list(islice(payloads.group_names(11), plan.storm_alerts // 100))
    with amani_pipeline(stage, "slow", sink_rate=1.0, SLACK_MESSAGES_PER_SECOND="1") as amani:
        began = time.monotonic()
        result: Result = storm(amani.server.target, groups, 100)
        check(amani.server, result)
        sent = seconds_until_sent(amani, groups, 100, began)
        requests = amani.arrivals()
    refused = sum(arrival.status == 429 for arrival in requests)
    worst = max(sent, len(requests))
    return Row(
        key="G11",
        measure=f"{plan.storm_alerts:,} alerts at 1 message/s: seconds until all named / requests",
        amani=f"{number(sent)} / {len(requests)}, {refused} of them 429",
        goal=f"≤ {SLOW_GOAL} / {SLOW_GOAL}",
        gate=f"≤ {SLOW_GATE} / {SLOW_GATE}",
        verdict=Verdict.of(goal=worst <= SLOW_GOAL, gate=worst <= SLOW_GATE),
    )
