"""How long each part of a run takes."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    rounds: int
    peer_rounds: int
    round_seconds: float
    paced_seconds: float
    preloaded_episodes: int
    history_rounds: int
    notifying_seconds: float
    storm_alerts: int
    request_rounds: int
    profiled_requests: int
    scrape_rounds: int


FULL = Plan(
    rounds=5,
    peer_rounds=3,
    round_seconds=2.0,
    paced_seconds=12.0,
    preloaded_episodes=100_000,
    history_rounds=3,
    notifying_seconds=5.0,
    storm_alerts=10_000,
    request_rounds=12,
    profiled_requests=1000,
    scrape_rounds=5,
)
QUICK = Plan(
    rounds=2,
    peer_rounds=1,
    round_seconds=1.0,
    paced_seconds=5.0,
    preloaded_episodes=10_000,
    history_rounds=2,
    notifying_seconds=3.0,
    storm_alerts=2_000,
    request_rounds=3,
    profiled_requests=400,
    scrape_rounds=2,
)
