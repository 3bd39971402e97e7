"""What Grafana's files say, read once for the tests that compare them."""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from tests.rule_files import ROOT

FOLDER = ROOT / "deploy" / "grafana" / "dashboards"
# What Grafana puts in place of its variables when everything is chosen.
VARIABLES = {
    "$__rate_interval": "5m",
    "$__range": "3h",
    "$instance": ".*",
    "$environment": ".*",
    "$component": ".*",
}


class PanelQuery(NamedTuple):
    """`panel` is the title of a panel, an annotation or a variable; `instant`: asked once."""

    dashboard: str
    panel: str
    expression: str
    instant: bool = False

    @property
    def promql(self) -> str:
        expression = self.expression
        for name, value in VARIABLES.items():
            expression = expression.replace(name, value)
        return expression


def dashboards() -> dict[str, dict[str, Any]]:
    return {file.name: json.loads(file.read_text()) for file in sorted(FOLDER.glob("*.json"))}


def panels(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    """Those that ask something."""
    return [panel for panel in dashboard["panels"] if panel["type"] not in {"row", "text"}]


def panel_queries() -> Iterator[PanelQuery]:
    for file, dashboard in dashboards().items():
        for panel in panels(dashboard):
            for target in panel["targets"]:
                yield PanelQuery(file, panel["title"], target["expr"], target["instant"])


def other_queries() -> Iterator[PanelQuery]:
    """Those of annotations and of the choices at the top."""
    for file, dashboard in dashboards().items():
        for mark in dashboard["annotations"]["list"]:
            if "expr" in mark:
                yield PanelQuery(file, mark["name"], mark["expr"])
        for variable in dashboard["templating"]["list"]:
            if variable["type"] == "query":
                inner = variable["definition"].removeprefix("label_values(").removesuffix(")")
                selector, _, label = inner.rpartition(", ")
                yield PanelQuery(file, variable["name"], f"count by ({label}) ({selector})", instant=True)


def dashboard_queries() -> list[PanelQuery]:
    return [*panel_queries(), *other_queries()]
