"""What the figures of the request part are held to."""

from dataclasses import dataclass, replace
from statistics import median

from benchmarks import figures
from benchmarks.table import Row, Verdict, number

METRICS_CALLS = 90
ALL_CALLS = (200, 230)  # goal and gate
# Goal and gate, times bare Django. What else runs on the machine takes the processor's caches, and code that
# runs once a request pays most for that: the gates leave room for it.
LOGS_TIMES = (1.25, 1.45)
TENTH_TIMES = (1.35, 1.55)
ALL_TIMES = (2.0, 2.4)
MEGABYTES = 15


@dataclass(frozen=True)
class Figures:
    """By set-up."""

    microseconds: dict[str, list[float]]
    megabytes: dict[str, float]
    calls: dict[str, float]

    def times_bare(self, setup: str) -> float:
        return figures.ratios(self.microseconds[setup], self.microseconds["bare"])

    def added_calls(self, setup: str) -> float:
        return self.calls[setup] - self.calls["bare"]

    @property
    def has_usual(self) -> bool:
        return "usual" in self.microseconds


def rows(found: Figures) -> list[Row]:
    return [
        cpu_row(
            found, "R1", "CPU µs per request, metrics and log line; limit: bare Django", "logs", LOGS_TIMES
        ),
        cpu_row(found, "R2", "... with traces of 10 % and Sentry", "tenth", TENTH_TIMES),
        cpu_row(found, "R3", "... with traces of 100 % and Sentry", "all", ALL_TIMES),
        cpu_row(found, "", "... with traces of 10 % over gRPC and Sentry", "grpc", None),
        calls_row(found, "R4", "Python calls added to a request by the metrics", "metrics", METRICS_CALLS),
        calls_row(found, "", "... by the metrics and the log line", "logs", None),
        calls_row(found, "R5", "... by these, traces of 10 % and Sentry", "tenth", ALL_CALLS),
        calls_row(found, "", "... by these, traces of 100 % and Sentry", "all", None),
        calls_row(found, "R6", "... by Sentry, nothing wrong", "sentry", 0),
        memory_row(
            found, "R7", "MB (PSS) that all of it adds to a worker, traces over HTTP", "tenth", MEGABYTES
        ),
        memory_row(found, "", "... over gRPC", "grpc", None),
        memory_row(found, "", "... over HTTP, limit: without Celery and requests", "tenth", None, "bare"),
    ]


def cpu_row(found: Figures, key: str, measure: str, setup: str, allowed: tuple[float, float] | None) -> Row:
    times = found.times_bare(setup)
    row = Row(
        key=key,
        measure=measure,
        amani=number(median(found.microseconds[setup])),
        limit=number(median(found.microseconds["bare"])),
        of_limit=f"{times:.2f}x",
    )
    if setup == "tenth" and found.has_usual:
        usual = number(median(found.microseconds["usual"]))
        row = replace(row, peer=f"{usual} ({found.times_bare('usual'):.2f}x) usual set-up")
    return held_to(row, times, allowed, "x")


def calls_row(
    found: Figures, key: str, measure: str, setup: str, allowed: tuple[float, float] | int | None
) -> Row:
    added = round(found.added_calls(setup))
    row = Row(key=key, measure=measure, amani=f"+{added}", limit=f"{found.calls['bare']:,.0f}")
    if setup == "tenth" and found.has_usual:
        row = replace(row, peer=f"+{found.added_calls('usual'):,.0f} usual set-up")
    return held_to(row, added, allowed)


def memory_row(
    found: Figures, key: str, measure: str, setup: str, allowed: int | None, limit: str = "libraries"
) -> Row:
    least = found.megabytes[limit]
    added = found.megabytes[setup] - least
    row = Row(key=key, measure=measure, amani=f"+{added:.1f}", limit=f"{least:.1f}")
    if limit == "bare" and found.has_usual:
        row = replace(row, peer=f"+{found.megabytes['usual'] - least:.1f} usual set-up")
    return held_to(row, added, allowed)


def held_to(row: Row, value: float, allowed: tuple[float, float] | int | None, unit: str = "") -> Row:
    """`allowed` are goal and gate, or one number for both."""
    if allowed is None:
        return row
    goal, gate = allowed if isinstance(allowed, tuple) else (allowed, allowed)
    verdict = Verdict.of(goal=value <= goal, gate=value <= gate)
    return replace(row, goal=f"≤ {goal}{unit}", gate=f"≤ {gate}{unit}", verdict=verdict)
