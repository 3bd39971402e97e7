"""Makes the Prometheus rules of a list of objectives."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import yaml

from local.kubernetes_rules import Dumper
from local.slo.objectives import BURNS, PERIOD, Burn, Objective, plain

HEAD = """\
# Written by `make slo` from deploy/slo.yml; do not change it here. docs/slo.md explains the objectives.
#
# Counters are summed for each instance before increase(), and start at 0 as soon as the instance answers: a
# counter whose first value is already 1 would count as 0. The 30 days need a retention of at least 30 days.
"""
SOURCE_SECONDS = 30
SHORT_WINDOWS = ("5m", "30m", "1h", "2h", "6h")
LONG_WINDOWS = ("1d", "3d", PERIOD)
SUMMARIES = {
    "fast": "the error budget will be gone within days",
    "slow": "the error budget is used up too soon",
}
UNITS = {"m": ("minute", 60), "h": ("hour", 3600), "d": ("day", 86_400)}

Rule = dict[str, Any]


def rules_file(objectives: Iterable[Objective]) -> str:
    """Return the text of the rule file."""
    groups = groups_of(list(objectives))
    return HEAD + yaml.dump({"groups": groups}, Dumper=Dumper, sort_keys=False, width=10_000)


def groups_of(objectives: list[Objective]) -> list[dict[str, Any]]:
    kinds = {each.kind for each in objectives}
    short, long = (
        [rule for window in windows for rule in window_rules(window, kinds)]
        for windows in (SHORT_WINDOWS, LONG_WINDOWS)
    )
    # What an instance counts before its first sample is lost, so the sources are not evaluated more rarely;
    # more often would make the long windows expensive. A result is found for 5 minutes.
    often, rarely = f"{SOURCE_SECONDS}s", "2m"
    return [
        group("sources", often, [rule for each in objectives for rule in sources(each)]),
        group("windows", often, short),
        group("long_windows", rarely, long),
        group("alerts", often, [alert(each, speed) for each in objectives for speed in each.alerts]),
    ]


def group(name: str, interval: str, rules: list[Rule]) -> dict[str, Any]:
    return {"name": f"amani_slo_{name}", "interval": interval, "rules": rules}


def sources(objective: Objective) -> list[Rule]:
    """Return the rules that say how many events there were and were bad, or whether it is bad now."""
    labels = {"slo": objective.name}
    allowed = {
        "record": "slo:amani_slo_allowed:ratio",
        "expr": f"vector({plain(objective.allowed)})",
        "labels": {"job": "amani", **labels},
    }
    if objective.kind == "time":
        now = {"record": "job:amani_slo_bad:now", "expr": objective.source, "labels": labels}
        return [allowed, now]
    if objective.kind == "requests":
        metric, of, bad = (objective.source[key] for key in ("metric", "of", "bad"))
        total = counted(f"{metric}{{{matchers(of)}}}")
        lost = counted(f"{metric}{{{matchers(of)}, {bad}}}")
    else:
        metric, of = objective.source["metric"], objective.source["of"]
        bound = float(objective.source["within"])
        total = counted(f"{metric}_count{{{matchers(of)}}}")
        good = counted(f'{metric}_bucket{{{matchers(of)}, le="{bound}"}}')
        lost = f"{total}\n- {good}"
    return [
        allowed,
        {"record": "instance:amani_slo_total:sum", "expr": from_zero(total), "labels": labels},
        {"record": "instance:amani_slo_bad:sum", "expr": from_zero(lost), "labels": dict(labels)},
    ]


def matchers(of: str) -> str:
    return f'job="amani", {of}'


def counted(selector: str) -> str:
    return f"sum by (job, instance) ({selector})"


def from_zero(expression: str) -> str:
    return f'{expression}\nor sum by (job, instance) (0 * (up{{job="amani"}} == 1))\n'


def window_rules(window: str, kinds: set[str]) -> list[Rule]:
    """Return what was counted and was bad in a window.

    Time is counted in evaluations of its rule and measured against the whole window: right after an
    installation a short outage is not a large share of what was measured.
    """
    total, bad = [], []
    if kinds - {"time"}:
        total.append(f"sum by (job, slo) (increase(instance:amani_slo_total:sum[{window}]))")
        bad.append(f"sum by (job, slo) (increase(instance:amani_slo_bad:sum[{window}]))")
    if "time" in kinds:
        whole = seconds(window) // SOURCE_SECONDS
        total.append(f"sum by (job, slo) (0 * count_over_time(job:amani_slo_bad:now[{window}])) + {whole}")
        bad.append(f"sum by (job, slo) (sum_over_time(job:amani_slo_bad:now[{window}]))")
    ratio = f"slo:amani_slo_bad:increase{window} / on (job, slo) (slo:amani_slo_total:increase{window} > 0)"
    return [
        {"record": f"slo:amani_slo_total:increase{window}", "expr": "\nor ".join(total) + "\n"},
        {"record": f"slo:amani_slo_bad:increase{window}", "expr": "\nor ".join(bad) + "\n"},
        {"record": f"slo:amani_slo_bad:ratio{window}", "expr": ratio},
    ]


def alert(objective: Objective, speed: str) -> Rule:
    labels = {"severity": objective.alerts[speed], "service": "amani", "scope": speed}
    if objective.notified_by:
        labels["notified_by"] = objective.notified_by
    limits = ", or ".join(
        f"{percent(burn.factor * objective.allowed)} over {duration(burn.long)}" for burn in BURNS[speed]
    )
    return {
        "alert": objective.alert,
        "expr": "\nor\n".join(burns(objective, burn) for burn in BURNS[speed]) + "\n",
        "labels": labels,
        "annotations": {
            "summary": f"{objective.title}: {SUMMARIES[speed]}",
            "description": f"{{{{ $value | humanizePercentage }}}} of {objective.bad} "
            f"(limit {limits}; the objective allows {percent(objective.allowed)}).",
            "runbook_url": f"http://localhost:8000/runbooks/{objective.alert}/",
        },
    }


def burns(objective: Objective, burn: Burn) -> str:
    slo = f'{{slo="{objective.name}"}}'
    limit = f"> {plain(burn.factor)} * {plain(objective.allowed)}"
    parts = [
        f"slo:amani_slo_bad:ratio{burn.long}{slo} {limit}",
        f"slo:amani_slo_bad:ratio{burn.short}{slo} {limit}",
    ]
    if objective.minimum_bad:
        parts.append(f"slo:amani_slo_bad:increase{burn.long}{slo} >= {objective.minimum_bad}")
    return "\nand ".join(parts)


def percent(share: Decimal) -> str:
    return f"{plain(100 * share)}%"


def duration(window: str) -> str:
    number, (unit, _) = window[:-1], UNITS[window[-1]]
    return f"{number} {unit}" + ("" if number == "1" else "s")


def seconds(window: str) -> int:
    return int(window[:-1]) * UNITS[window[-1]][1]
