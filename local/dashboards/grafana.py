"""Panels and dashboards in Grafana's classic JSON, which every Grafana since 9 reads from files.

A query is PromQL with two abbreviations: `{amani}` or `{amani, status="500"}` selects the instances that are
chosen at the top of the page, and `[rate]` is the window that fits the chosen time range.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

Json = dict[str, Any]

DATASOURCE: Json = {"type": "prometheus", "uid": "${datasource}"}
CHOSEN = 'job="amani", instance=~"$instance"'
OF_INSTANCES = 'amani_build_info{job="amani", environment=~"$environment", component=~"$component"}'
AMANI_ADDRESS = "http://localhost:8000"
COLUMNS = 24
GREEN, YELLOW, RED, BLUE = "green", "orange", "red", "blue"


class Query(NamedTuple):
    """`exemplars`: sampled requests appear as dots that open their trace in Jaeger."""

    expression: str
    legend: str = ""
    exemplars: bool = False


class Limit(NamedTuple):
    """Where a panel turns red; `rule` names the alert that compares with the same number."""

    value: float
    rule: str


def promql(expression: str) -> str:
    return expression.replace("{amani", "{" + CHOSEN).replace("[rate]", "[$__rate_interval]")


def newest(metric: str) -> str:
    """What the instance with the newest snapshot shows of `metric`: a rule records it (ADR 0023)."""
    return f'job:{metric}:newest{{job="amani"}}'


def panel(
    kind: str, title: str, description: str, queries: Sequence[Query], *, size: tuple[int, int]
) -> Json:
    return {
        "type": kind,
        "title": title,
        "description": description,
        "datasource": DATASOURCE,
        "gridPos": {"w": size[0], "h": size[1]},
        "targets": [target(chr(ord("A") + number), query) for number, query in enumerate(queries)],
        "fieldConfig": {"defaults": {}, "overrides": []},
        "options": {},
        "links": [],
    }


def target(letter: str, query: Query) -> Json:
    return {
        "refId": letter,
        "datasource": DATASOURCE,
        "editorMode": "code",
        "expr": promql(query.expression),
        "legendFormat": query.legend or "__auto",
        "range": True,
        "instant": False,
        "exemplar": query.exemplars,
    }


def at_an_instant(made: Json, result: str) -> Json:
    """Asks once, for the end of the time range."""
    for query in made["targets"]:
        query |= {"range": False, "instant": True, "format": result}
    return made


def runbook(rule: str) -> Json:
    return {"title": f"Runbook: {rule}", "url": f"${{amani}}/runbooks/{rule}/", "targetBlank": True}


def thresholds(limit: Limit | None, calm: str = GREEN) -> Json:
    steps: list[Json] = [{"color": calm, "value": None}]
    if limit is not None:
        steps.append({"color": RED, "value": limit.value})
    return {"mode": "absolute", "steps": steps}


def series(
    title: str,
    description: str,
    unit: str,
    *queries: Query,
    limit: Limit | None = None,
    runbooks: Sequence[str] = (),
    stacked: bool = False,
    highest: float | None = None,
    size: tuple[int, int] = (8, 8),
) -> Json:
    """Draws lines over time, with a dashed line at the limit."""
    made = panel("timeseries", title, description, queries, size=size)
    made["fieldConfig"]["defaults"] = {
        "unit": unit,
        "min": 0,
        "color": {"mode": "palette-classic"},
        "thresholds": thresholds(limit),
        "custom": {
            "drawStyle": "line",
            "lineWidth": 1,
            "fillOpacity": 30 if stacked else 8,
            "showPoints": "never",
            "spanNulls": False,
            "stacking": {"mode": "normal" if stacked else "none", "group": "A"},
            "thresholdsStyle": {"mode": "dashed" if limit else "off"},
        },
    }
    if highest is not None:
        made["fieldConfig"]["defaults"]["max"] = highest
    made["options"] = {
        "legend": {
            "displayMode": "table",
            "placement": "bottom",
            "showLegend": True,
            "calcs": ["lastNotNull", "max"],
        },
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    made["links"] = [runbook(rule) for rule in ([limit.rule] if limit else []) + list(runbooks)]
    return made


def number(
    title: str,
    description: str,
    unit: str,
    *queries: Query,
    limit: Limit | None = None,
    runbooks: Sequence[str] = (),
    words: dict[str, tuple[str, str]] | None = None,
    names: bool = False,
    size: tuple[int, int] = (4, 4),
) -> Json:
    """Shows the newest value in large type, or the legend; `words` are the (text, colour) of values."""
    made = panel("stat", title, description, queries, size=size)
    made["fieldConfig"]["defaults"] = {
        "unit": unit,
        "color": {"mode": "thresholds"},
        "thresholds": thresholds(limit, GREEN if limit or words else BLUE),
        "mappings": [
            {
                "type": "value",
                "options": {
                    value: {"text": text, "color": color, "index": place}
                    for place, (value, (text, color)) in enumerate((words or {}).items())
                },
            }
        ]
        if words
        else [],
        "noValue": "none",
    }
    made["options"] = {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "colorMode": "value",
        "graphMode": "none",
        "textMode": "name" if names else "auto",
        "orientation": "auto",
        "justifyMode": "auto",
    }
    made["links"] = [runbook(rule) for rule in ([limit.rule] if limit else []) + list(runbooks)]
    return made


def shares(title: str, description: str, unit: str, *queries: Query, size: tuple[int, int] = (8, 8)) -> Json:
    """Draws a ring: how the total of the whole time range is divided."""
    made = at_an_instant(panel("piechart", title, description, queries, size=size), "time_series")
    made["fieldConfig"]["defaults"] = {"unit": unit, "color": {"mode": "palette-classic"}, "decimals": 0}
    made["fieldConfig"]["overrides"] = [
        colored_by_pattern(pattern, color)
        for pattern, color in (("^2", GREEN), ("^3", BLUE), ("^4", YELLOW), ("^5", RED))
    ]
    made["options"] = {
        "pieType": "donut",
        "displayLabels": ["percent"],
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "legend": {
            "displayMode": "table",
            "placement": "right",
            "showLegend": True,
            "values": ["value", "percent"],
        },
        "tooltip": {"mode": "single", "sort": "none"},
    }
    return made


def colored_by_pattern(pattern: str, color: str) -> Json:
    value = {"mode": "fixed", "fixedColor": color}
    return {
        "matcher": {"id": "byRegexp", "options": pattern},
        "properties": [{"id": "color", "value": value}],
    }


def heat(title: str, description: str, unit: str, query: Query, *, size: tuple[int, int] = (12, 8)) -> Json:
    """Draws the buckets of a histogram over time: the darker, the more fell into it."""
    made = panel("heatmap", title, description, [query], size=size)
    made["targets"][0] |= {"format": "heatmap", "legendFormat": "{{le}}"}
    made["options"] = {
        "calculate": False,
        "color": {"mode": "scheme", "scheme": "Oranges", "steps": 64},
        "yAxis": {"unit": unit, "axisPlacement": "left"},
        "cellGap": 1,
        "tooltip": {"mode": "single", "yHistogram": False},
        "legend": {"show": True},
    }
    made["fieldConfig"]["defaults"] = {"unit": unit}
    return made


class Column(NamedTuple):
    """One query of a table, with its heading."""

    heading: str
    expression: str
    unit: str


def table(
    title: str,
    description: str,
    *columns: Column,
    order: str,
    hidden: Sequence[str] = (),
    links: dict[str, Json] | None = None,
    runbooks: Sequence[str] = (),
    size: tuple[int, int] = (12, 8),
) -> Json:
    """Shows a row for each set of labels and a column for each query; `order` is the heading to sort by."""
    queries = [Query(column.expression) for column in columns]
    made = at_an_instant(panel("table", title, description, queries, size=size), "table")
    names = [f"Value #{query['refId']}" for query in made["targets"]] if len(columns) > 1 else ["Value"]
    made["transformations"] = [
        {"id": "merge", "options": {}},
        {
            "id": "organize",
            "options": {
                "excludeByName": dict.fromkeys(["Time", *hidden], True),
                "renameByName": {name: column.heading for name, column in zip(names, columns, strict=True)},
            },
        },
    ]
    made["fieldConfig"]["defaults"] = {"unit": "none", "noValue": "none"}
    made["fieldConfig"]["overrides"] = [
        {
            "matcher": {"id": "byName", "options": column.heading},
            "properties": [{"id": "unit", "value": column.unit}],
        }
        for column in columns
        if column.heading not in hidden
    ] + [
        {"matcher": {"id": "byName", "options": name}, "properties": [{"id": "links", "value": [link]}]}
        for name, link in (links or {}).items()
    ]
    made["options"] = {"showHeader": True, "sortBy": [{"displayName": order, "desc": True}]}
    made["links"] = [runbook(rule) for rule in runbooks]
    return made


def text(title: str, markdown: str, *, size: tuple[int, int] = (24, 5)) -> Json:
    return {
        "type": "text",
        "title": title,
        "description": "",
        "gridPos": {"w": size[0], "h": size[1]},
        "options": {"mode": "markdown", "content": markdown},
    }


class Row(NamedTuple):
    title: str
    panels: list[Json]


def dashboard(*, uid: str, title: str, description: str, rows: Sequence[Row], hours: int = 3) -> Json:
    return {
        "id": None,
        "uid": uid,
        "title": title,
        "description": description,
        "tags": ["amani"],
        "schemaVersion": 39,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,
        "timezone": "browser",
        "time": {"from": f"now-{hours}h", "to": "now"},
        "refresh": "30s",
        "fiscalYearStartMonth": 0,
        "liveNow": False,
        "links": dashboard_links(),
        "annotations": {"list": marks_in_time()},
        "templating": {"list": variables()},
        "panels": placed(rows),
    }


def placed(rows: Sequence[Row]) -> list[Json]:
    """All panels from left to right and from top to bottom, under the headings of their rows."""
    result: list[Json] = []
    top = 0
    for row in rows:
        result.append(
            {
                "id": len(result) + 1,
                "type": "row",
                "title": row.title,
                "collapsed": False,
                "gridPos": {"x": 0, "y": top, "w": COLUMNS, "h": 1},
                "panels": [],
            }
        )
        top += 1
        left = line = 0
        for made in row.panels:
            width, height = made["gridPos"]["w"], made["gridPos"]["h"]
            if left + width > COLUMNS:
                left, top, line = 0, top + line, 0
            place = {"x": left, "y": top, "w": width, "h": height}
            result.append({"id": len(result) + 1, **made, "gridPos": place})
            left, line = left + width, max(line, height)
        top += line
    return result


def dashboard_links() -> list[Json]:
    def page(title: str, path: str) -> Json:
        return {
            "type": "link",
            "title": title,
            "url": "${amani}" + path,
            "icon": "external link",
            "tooltip": "",
            "tags": [],
            "asDropdown": False,
            "includeVars": False,
            "keepTime": False,
            "targetBlank": True,
        }

    others = {
        "type": "dashboards",
        "title": "Dashboards",
        "url": "",
        "icon": "external link",
        "tooltip": "",
        "tags": ["amani"],
        "asDropdown": True,
        "includeVars": True,
        "keepTime": True,
        "targetBlank": False,
    }
    return [
        others,
        page("Console", "/admin/"),
        page("Firing alerts", "/admin/observability/episode/?status__exact=firing"),
        page("Review cases", "/admin/kyc/case/"),
    ]


def marks_in_time() -> list[Json]:
    def marks(name: str, color: str, expression: str, **words: str) -> Json:
        return {
            "name": name,
            "datasource": DATASOURCE,
            "enable": True,
            "hide": False,
            "iconColor": color,
            "expr": promql(expression),
            "step": "60s",
            "useValueForTime": False,
        } | words

    built_in = {
        "builtIn": 1,
        "datasource": {"type": "grafana", "uid": "-- Grafana --"},
        "enable": True,
        "hide": True,
        "iconColor": BLUE,
        "name": "Annotations & Alerts",
        "type": "dashboard",
    }
    version = "count by (version) (amani_build_info{amani})"
    earlier = "count by (version) (amani_build_info{amani} offset 5m)"
    return [
        built_in,
        marks(
            "Deployments",
            BLUE,
            f"{version} unless {earlier}",
            titleFormat="Version {{version}} begins",
            textFormat="",
            tagKeys="version",
        ),
        marks(
            "Firing alerts",
            RED,
            'ALERTS{alertstate="firing", alertname!="Watchdog"}',
            titleFormat="{{alertname}}",
            textFormat="{{severity}} {{scope}}",
            tagKeys="severity",
        ),
    ]


def variables() -> list[Json]:
    def choice(name: str, label: str, query: str, **more: str) -> Json:
        return {
            "name": name,
            "label": label,
            "type": "query",
            "datasource": DATASOURCE,
            "definition": query,
            "query": {"query": query, "refId": name},
            "refresh": 2,
            "sort": 1,
            "regex": "",
            "multi": True,
            "includeAll": True,
            "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
            "options": [],
            "hide": 0,
        } | more

    datasource = {
        "name": "datasource",
        "label": "Data source",
        "type": "datasource",
        "query": "prometheus",
        "regex": "",
        "refresh": 1,
        "multi": False,
        "includeAll": False,
        "current": {"selected": True, "text": "Prometheus", "value": "amani-prometheus"},
        "options": [],
        "hide": 0,
    }
    amani = {
        "name": "amani",
        "label": "Amani's address",
        "type": "textbox",
        "query": AMANI_ADDRESS,
        "current": {"selected": True, "text": AMANI_ADDRESS, "value": AMANI_ADDRESS},
        "options": [{"selected": True, "text": AMANI_ADDRESS, "value": AMANI_ADDRESS}],
        "hide": 0,
    }
    return [
        datasource,
        # Both also without the label, which an older Amani or configuration of Prometheus does not set.
        choice(
            "environment",
            "Environment",
            'label_values(amani_build_info{job="amani"}, environment)',
            allValue=".*",
        ),
        choice("component", "Component", 'label_values(up{job="amani"}, component)', allValue=".*"),
        choice("instance", "Instance", f"label_values({OF_INSTANCES}, instance)"),
        amani,
    ]
