"""Makes the Grafana dashboard of a list of objectives. It shows all instances together, as the rules do."""

from __future__ import annotations

from collections.abc import Sequence

from local.dashboards import grafana
from local.dashboards.grafana import GREEN, RED, YELLOW, Json, Limit, Query, Row
from local.slo.objectives import BURNS, PERIOD, Objective
from local.slo.rules import SOURCE_SECONDS

FASTEST = float(BURNS["fast"][0].factor)


def dashboard_of(objectives: Sequence[Objective]) -> Json:
    return grafana.dashboard(
        uid="amani-slo",
        title="Amani SLOs",
        description="Service level objectives over 30 days, of all instances together. From deploy/slo.yml.",
        rows=[Row("All objectives", overview(objectives)), *map(row, objectives)],
        hours=24 * 7,
    )


def overview(objectives: Sequence[Objective]) -> list[Json]:
    left = grafana.panel(
        "bargauge",
        "Error budget left",
        "How much of the error budget of 30 days is left. Below 0 the objective is missed: put reliability "
        "before features until it is above 0 again. No bar: nothing was counted.",
        [Query(left_of_budget(""), "{{slo}}")],
        size=(12, 8),
    )
    grafana.at_an_instant(left, "time_series")
    left["fieldConfig"] = {
        "defaults": {
            "unit": "percentunit",
            "min": 0,
            "max": 1,
            "decimals": 1,
            "color": {"mode": "thresholds"},
            "noValue": "nothing counted",
        },
        "overrides": titles(objectives),
    }
    left["options"] = {
        "displayMode": "basic",
        "orientation": "horizontal",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "showUnfilled": True,
        "valueMode": "color",
    }
    colored(left, RED, (0, YELLOW), (0.25, GREEN))
    burn = grafana.series(
        "Burn rate of an hour",
        "How many times faster than allowed the budget is used. 1 uses it up in exactly 30 days, 14.4 in "
        "2 days; above that an objective with a fast alert pages. Follow the runbook page of the alert.",
        "none",
        Query("slo:amani_slo_bad:ratio1h / on (job, slo) slo:amani_slo_allowed:ratio", "{{slo}}"),
        size=(12, 8),
    )
    burn["fieldConfig"]["overrides"] = titles(objectives)
    burn["fieldConfig"]["defaults"]["custom"]["thresholdsStyle"] = {"mode": "dashed"}
    return [left, colored(burn, GREEN, (1, YELLOW), (FASTEST, RED))]


def row(objective: Objective) -> Row:
    selector = f'{{slo="{objective.name}"}}'
    goal = f"The objective is {objective.percent}%; bad means: {objective.bad}."
    runbooks = [objective.alert] if objective.alerts else []
    good = grafana.number(
        f"{objective.title}: good in 30 days",
        f"{goal} Red: the objective is missed.",
        "percentunit",
        Query(f"1 - slo:amani_slo_bad:ratio{PERIOD}{selector}", "good"),
        runbooks=runbooks,
        size=(4, 7),
    )
    good["fieldConfig"]["defaults"]["decimals"] = 3
    share = grafana.series(
        f"{objective.title}: bad share",
        f"{goal} The line is the share that is allowed on average; short excesses use the budget.",
        "percentunit",
        *(
            Query(f"slo:amani_slo_bad:ratio{window}{selector}", name)
            for window, name in (("5m", "5 minutes"), ("1h", "1 hour"), ("1d", "1 day"))
        ),
        limit=Limit(float(objective.allowed), objective.alert),
        size=(10, 7),
    )
    budget = grafana.series(
        f"{objective.title}: error budget left",
        "Of the 30 days before each moment. A step down is an incident; it comes back 30 days later. "
        "Below 0 the objective is missed.",
        "percentunit",
        Query(left_of_budget(selector), "left"),
        highest=1,
        runbooks=runbooks,
        size=(6, 7),
    )
    del budget["fieldConfig"]["defaults"]["min"]
    return Row(
        objective.title,
        [
            colored(good, RED, (float(1 - objective.allowed), GREEN)),
            counted(objective, selector, runbooks),
            share,
            colored(budget, RED, (0, GREEN)),
        ],
    )


def counted(objective: Objective, selector: str, runbooks: Sequence[str]) -> Json:
    query, unit = f"slo:amani_slo_bad:increase{PERIOD}{selector}", "short"
    words = (
        f"How many times it was bad: {objective.bad}. An alert needs {objective.minimum_bad} in its window."
    )
    if objective.kind == "time":
        query, unit = f"{SOURCE_SECONDS} * {query}", "s"
        words = f"How long it was bad: {objective.bad}. Looked at every {SOURCE_SECONDS} seconds."
    return grafana.number(
        f"{objective.title}: bad in 30 days", words, unit, Query(query, "bad"), runbooks=runbooks, size=(4, 7)
    )


def left_of_budget(selector: str) -> str:
    """1 = nothing is used, 0 = all is used, below 0 the objective is missed."""
    return (
        f"1 - slo:amani_slo_bad:ratio{PERIOD}{selector} / on (job, slo) slo:amani_slo_allowed:ratio{selector}"
    )


def titles(objectives: Sequence[Objective]) -> list[Json]:
    """Show an objective's title and percentage in place of its name."""
    return [
        {
            "matcher": {"id": "byName", "options": each.name},
            "properties": [{"id": "displayName", "value": f"{each.title} ({each.percent}%)"}],
        }
        for each in objectives
    ]


def colored(made: Json, lowest: str, *steps: tuple[float, str]) -> Json:
    """Give a panel its colours: `lowest`, and from each value on another."""
    found = [{"color": lowest, "value": None}]
    made["fieldConfig"]["defaults"]["thresholds"] = {
        "mode": "absolute",
        "steps": found + [{"color": color, "value": value} for value, color in steps],
    }
    return made
