"""G1 to G3 alerts a second, G6 processor time an alert: Amani, the limit and Alerta in turn."""

from dataclasses import dataclass, field
from statistics import median

from benchmarks import figures, peer
from benchmarks.load import Result, fire_and_resolve
from benchmarks.plan import Plan
from benchmarks.servers import Server, Stage, amani_environment, start_amani, start_limit, tree_cpu_seconds
from benchmarks.table import Row, Verdict, number

# size → (goal, gate), as shares of the limit, and (goal, gate) in milliseconds of processor time an alert
SHARES = {1: (0.50, 0.32), 10: (0.50, 0.28), 100: (0.50, 0.19)}
PROCESSOR = {1: ((2.8, 2.0), (4.0, 2.9)), 100: ((0.3, 4.0), (0.5, 6.7))}
KEYS = {1: "G1", 10: "G2", 100: "G3"}


@dataclass
class Rounds:
    """One server's rounds at one size."""

    rates: list[float] = field(default_factory=list)  # alerts a second
    web: list[float] = field(default_factory=list)  # ms of processor time an alert
    postgres: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        return median(self.rates)

    @property
    def processor(self) -> list[float]:
        return [web + postgres for web, postgres in zip(self.web, self.postgres, strict=True)]


def measure(stage: Stage, plan: Plan, peer_problem: str) -> list[Row]:
    servers = start(stage, peer_problem)
    rows = []
    for size in SHARES:
        measured = run_size(stage, plan, servers, size)
        rows.append(rate_row(size, measured))
        if size in PROCESSOR:
            rows.append(processor_row(size, measured))
    for server in servers:
        stage.stop(server.process)
    return rows


def start(stage: Stage, peer_problem: str) -> list[Server]:
    environment = amani_environment(stage, "amani", stage.postgres.make_database("ingest"))
    servers = [
        start_amani(stage, "amani", environment),
        start_limit(stage, "limit", stage.postgres.make_database("ingest_limit")),
    ]
    if not peer_problem:
        servers.append(peer.start_alerta(stage, stage.postgres.make_database("ingest_alerta")))
    return servers


def run_size(stage: Stage, plan: Plan, servers: list[Server], size: int) -> dict[str, Rounds]:
    measured = {server.name: Rounds() for server in servers}
    for server in servers:  # connections, plans, imports
        fire_and_resolve(server.target, size, 1.0, seed=10_000 + size)
    for round_number in range(plan.rounds):
        for server in servers:
            if server.name == "alerta" and round_number >= plan.peer_rounds:
                continue
            server.empty()
            one_round(stage, server, measured[server.name], size, plan, seed=size * 1000 + round_number)
    return measured


def one_round(stage: Stage, server: Server, rounds: Rounds, size: int, plan: Plan, seed: int) -> None:
    web, postgres = server.cpu_seconds(), tree_cpu_seconds(stage.postgres.pid)
    result = fire_and_resolve(server.target, size, plan.round_seconds, seed)
    check(server, result)
    alerts = result.webhooks * size
    rounds.rates.append(alerts / result.seconds)
    rounds.web.append((server.cpu_seconds() - web) / alerts * 1000)
    rounds.postgres.append((tree_cpu_seconds(stage.postgres.pid) - postgres) / alerts * 1000)


def check(server: Server, result: Result) -> None:
    if result.refused or not result.webhooks:
        raise RuntimeError(f"{server.name} refused {result.refused} of {result.webhooks} webhooks.")


def rate_row(size: int, measured: dict[str, Rounds]) -> Row:
    amani, limit = measured["amani"], measured["limit"]
    goal, gate = SHARES[size]
    share = figures.ratios(amani.rates, limit.rates)
    return Row(
        key=KEYS[size],
        measure=f"alerts/s, payload of {size}",
        amani=number(amani.rate),
        limit=number(limit.rate),
        of_limit=f"{share:.2f}",
        peer=f"{number(measured['alerta'].rate)} Alerta" if "alerta" in measured else "not run",
        goal=f"≥ {goal:.2f}",
        gate=f"≥ {gate:.2f}",
        verdict=Verdict.of(goal=share >= goal, gate=share >= gate),
    )


def processor_row(size: int, measured: dict[str, Rounds]) -> Row:
    """Judged by the share of the limit, or by the milliseconds themselves where they are good enough."""
    amani, limit = measured["amani"], measured["limit"]
    times = figures.ratios(amani.processor, limit.processor)
    spent = median(amani.processor)
    goal, gate = PROCESSOR[size]
    return Row(
        key="G6",
        measure=f"CPU ms per alert (web + PostgreSQL), payload of {size}",
        amani=split(amani),
        limit=split(limit),
        of_limit=f"{times:.1f}x",
        peer=f"{split(measured['alerta'])} Alerta" if "alerta" in measured else "not run",
        goal=f"≤ {goal[0]} or {goal[1]}x",
        gate=f"≤ {gate[0]} or {gate[1]}x",
        verdict=Verdict.of(
            goal=spent <= goal[0] or times <= goal[1], gate=spent <= gate[0] or times <= gate[1]
        ),
    )


def split(rounds: Rounds) -> str:
    return f"{number(median(rounds.web))} + {number(median(rounds.postgres))}"
