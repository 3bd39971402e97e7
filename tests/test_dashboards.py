"""Grafana's files hold what Grafana needs to read them, and what a person needs to understand them.

tests/test_metric_contract.py checks the metrics and labels of their queries, tests/stack/test_alert_loop.py
asks them of a real Prometheus.
"""

import configparser
import itertools
import math
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.urls import resolve

from local.dashboards.__main__ import DASHBOARDS, written
from tests.dashboard_files import FOLDER, dashboard_queries, dashboards, panel_queries, panels
from tests.rule_files import ROOT, RUNBOOKS, alerts, load, parse_query

PROVISIONING = ROOT / "deploy" / "grafana" / "provisioning"
# For ever: links and dashboards outside of this repository name them.
DASHBOARD_UIDS = {
    "amani_overview.json": "amani-overview",
    "kyc.json": "amani-kyc",
    "alert_pipeline.json": "amani-alerts",
    "workers_and_redis.json": "amani-workers",
    "postgresql.json": "amani-postgresql",
    "escrow_and_money.json": "amani-escrow",
    "slo.json": "amani-slo",
}
DATASOURCE_UIDS = {"amani-prometheus", "amani-alertmanager", "amani-jaeger"}
PANEL_TYPES = {"row", "text", "timeseries", "stat", "bargauge", "table", "piechart", "heatmap"}
COUNTER = re.compile(r"_(total|bucket|sum|count)$")
AT_RATE = re.compile(r"\b(?:rate|increase)\(\s*([a-zA-Z_:][\w:]*)")
LINK = re.compile(r'"url": "\$\{amani\}(/[^"]*)"')
PRODUCT = re.compile(r"(?:>=?|<=?|==)\s*(?:bool\s+)?([\d.]+(?:e[+-]?\d+)?(?:\s*\*\s*[\d.]+)*)")

FILES = pytest.mark.parametrize("file", sorted(dashboards()))


def data_sources() -> dict[str, Any]:
    found = load(PROVISIONING / "datasources" / "amani.yml")["datasources"]
    return {source["uid"]: source for source in found}


@pytest.mark.parametrize("file", sorted(DASHBOARDS))
def test_the_files_are_what_the_descriptions_say(file: str) -> None:
    assert (FOLDER / file).read_text() == written(DASHBOARDS[file]), "run `make dashboards`"


@FILES
def test_grafana_reads_the_file_as_a_classic_dashboard(file: str) -> None:
    dashboard, text = dashboards()[file], (FOLDER / file).read_text()
    assert dashboard["uid"] == DASHBOARD_UIDS[file]
    assert dashboard["id"] is None
    assert dashboard["schemaVersion"] <= 39
    assert dashboard["editable"] is False
    assert not {"apiVersion", "elements", "layout", "__inputs", "__requires"} & set(dashboard)
    assert "${DS_" not in text
    assert {panel["type"] for panel in dashboard["panels"]} <= PANEL_TYPES


def test_no_two_dashboards_have_one_title_or_uid() -> None:
    for key in ("title", "uid"):
        values = [dashboard[key] for dashboard in dashboards().values()]
        assert len(values) == len(set(values))


@FILES
def test_every_panel_can_be_read_at_a_glance(file: str) -> None:
    dashboard = dashboards()[file]
    for panel in panels(dashboard):
        assert panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        assert panel["targets"], panel["title"]
        assert all(target["legendFormat"] for target in panel["targets"])
    titles = [panel["title"] for panel in panels(dashboard)]
    assert len(titles) == len(set(titles))


@FILES
def test_panels_stand_side_by_side_and_none_covers_another(file: str) -> None:
    found = dashboards()[file]["panels"]
    assert len({panel["id"] for panel in found}) == len(found)
    places = [panel["gridPos"] for panel in found]
    assert all(place["x"] + place["w"] <= 24 for place in places)
    for one, other in itertools.combinations(places, 2):
        apart = (
            one["x"] + one["w"] <= other["x"]
            or other["x"] + other["w"] <= one["x"]
            or one["y"] + one["h"] <= other["y"]
            or other["y"] + other["h"] <= one["y"]
        )
        assert apart, (one, other)


@FILES
def test_every_query_goes_to_the_data_source_that_is_chosen_at_the_top(file: str) -> None:
    dashboard = dashboards()[file]
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    asked = [panel["datasource"] for panel in panels(dashboard)]
    asked += [target["datasource"] for panel in panels(dashboard) for target in panel["targets"]]
    asked += [mark["datasource"] for mark in dashboard["annotations"]["list"] if not mark.get("builtIn")]
    variables = {variable["name"]: variable for variable in dashboard["templating"]["list"]}
    asked += [one["datasource"] for one in variables.values() if one["type"] == "query"]
    assert all(one == chosen for one in asked)
    assert variables["datasource"]["type"] == "datasource"
    assert variables["datasource"]["query"] == "prometheus"
    assert variables["datasource"]["current"]["value"] == "amani-prometheus"
    assert all(one["refresh"] == 2 for one in variables.values() if one["type"] == "query")


def test_the_data_sources_have_their_uids_and_name_each_other() -> None:
    sources = data_sources()
    assert set(sources) == DATASOURCE_UIDS
    assert all(re.fullmatch(r"\$[A-Z_]+", source["url"]) for source in sources.values())
    prometheus = sources["amani-prometheus"]
    assert prometheus["jsonData"]["alertmanagerUid"] in DATASOURCE_UIDS
    [exemplars] = prometheus["jsonData"]["exemplarTraceIdDestinations"]
    assert (exemplars["name"], exemplars["datasourceUid"]) == ("trace_id", "amani-jaeger")
    assert prometheus["secureJsonData"] == {"basicAuthPassword": "$PROMETHEUS_PASSWORD"}


def test_the_file_of_data_sources_names_every_variable_that_it_reads() -> None:
    text = (PROVISIONING / "datasources" / "amani.yml").read_text()
    settings = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    explained = "\n".join(line for line in text.splitlines() if line.startswith("#"))
    assert all(name in explained for name in re.findall(r"\$([A-Z_]+)", settings))


def test_docker_compose_mounts_the_folder_and_sets_every_variable_of_the_data_sources() -> None:
    grafana = load(ROOT / "docker-compose.yml")["services"]["grafana"]
    assert "./deploy/grafana:/etc/grafana:ro" in grafana["volumes"]
    asked = re.findall(r"[:] \$([A-Z_]+)", (PROVISIONING / "datasources" / "amani.yml").read_text())
    assert set(asked) <= set(grafana["environment"])


def test_nothing_is_saved_from_the_browser() -> None:
    [provider] = load(PROVISIONING / "dashboards" / "amani.yml")["providers"]
    assert provider["allowUiUpdates"] is False
    assert provider["type"] == "file"


def test_grafana_lets_nobody_in_without_a_password_and_calls_nobody() -> None:
    text = (ROOT / "deploy/grafana/grafana.ini").read_text()
    settings = configparser.ConfigParser()
    settings.read_string(text)
    assert settings["auth.anonymous"]["enabled"] == "false"
    assert settings["users"]["allow_sign_up"] == "false"
    assert settings["analytics"]["reporting_enabled"] == "false"
    assert settings["analytics"]["check_for_updates"] == "false"
    assert "admin_password" not in text
    home = Path(settings["dashboards"]["default_home_dashboard_path"])
    assert (FOLDER / home.name).is_file()


@pytest.mark.needs("promtool")
def test_every_query_is_valid(binary: Callable[[str], str], tmp_path: Path) -> None:
    queries = dashboard_queries()
    rules = [{"record": f"query_{i}", "expr": query.promql} for i, query in enumerate(queries)]
    file = tmp_path / "queries.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboards", "rules": rules}]}))
    done = subprocess.run(
        [binary("promtool"), "check", "rules", file], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(rules)} rules found" in done.stdout


def test_a_counter_is_asked_for_its_rate_first() -> None:
    for query in dashboard_queries():
        counters = {
            name
            for name in parse_query(query.promql).metrics
            if COUNTER.search(name)
            and ":" not in name  # a rule has made a rate of it, or a total that starts at 0
        }
        assert counters <= set(AT_RATE.findall(query.promql)), query


def test_a_window_is_the_pages_own_or_an_hour_and_more() -> None:
    """Less would leave gaps when the page shows a week. 10 minutes: as in the rule about providers."""
    for query in dashboard_queries():
        windows = set(re.findall(r"\[([^\]]+)\]", query.expression))
        assert windows <= {"$__rate_interval", "$__range", "10m", "1h", "1d"}, query


def test_what_amani_exports_is_asked_of_the_chosen_instances() -> None:
    foreign = re.compile(r"ALERTS|(pg|redis|node|prometheus|alertmanager)_|(slo|job):")
    for query in panel_queries():
        parsed = parse_query(query.expression)
        for metric in parsed.metrics:
            labels = {(one.label, one.value) for one in parsed.matchers if one.metric == metric}
            chosen = {("job", "amani"), ("instance", "$instance")} <= labels
            assert foreign.match(metric) or chosen, query


@FILES
def test_every_link_leads_to_a_page(file: str) -> None:
    for path in LINK.findall((FOLDER / file).read_text()):
        page = path.partition("?")[0].replace("${__value.raw}", "HighErrorRate")
        resolve(page)
        if page.startswith("/runbooks/"):
            assert (RUNBOOKS / f"{page.split('/')[2]}.md").is_file(), page


def test_a_panel_turns_red_where_its_alert_fires() -> None:
    numbers: dict[str, set[float]] = {}
    for rule in alerts():
        products = [product.split("*") for product in PRODUCT.findall(rule["expr"])]
        numbers.setdefault(rule["alert"], set()).update(math.prod(map(float, found)) for found in products)
    # The colours of the SLOs' page are those of deploy/slo.yml: tests/test_slo.py.
    others = [dashboard for file, dashboard in dashboards().items() if file != "slo.json"]
    for panel in itertools.chain.from_iterable(map(panels, others)):
        steps = panel["fieldConfig"]["defaults"].get("thresholds", {}).get("steps", [])
        rules = [link["url"].split("/")[-2] for link in panel["links"] if "/runbooks/" in link["url"]]
        for red in [step["value"] for step in steps if step["value"] is not None]:
            # More than none of what is counted is one of it; a share of a target is 1 at the target.
            accepted = {red, 0.0} if red == 1 else {red}
            assert any((numbers[rule] or {1.0}) & accepted for rule in rules), panel["title"]
