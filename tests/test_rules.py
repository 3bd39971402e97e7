"""The rules load, fire and stay silent as their promtool tests say, and each leads to a page that helps."""

import re
import subprocess
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from observability.alerts.pipeline import RUNBOOK_PAGES
from tests.rule_files import (
    ALERTMANAGER,
    PROMETHEUS,
    RULES,
    RUNBOOKS,
    alerts,
    documented_queries,
    load,
    rules,
)
from tests.rule_tests import write_cases

NAMES = sorted({alert["alert"] for alert in alerts()})
# What Amani might be unable to send, so that Alertmanager does.
SENT_BY_ALERTMANAGER = {
    "ApplicationDown",
    "DatabaseConnectionIssues",
    "RedisUnavailable",
    "AlertBeatGone",
    "AlertWorkerGone",
    "AlertsUndelivered",
    "AlertDeliveriesFailing",
    "AlertDeliveriesLost",
    "AlertDeliveryChannelRejected",
    "AlertWebhookNotStored",
    "PrometheusNotificationsFailing",
    "SloAlertDelivery",
}
SECTIONS = (
    "**Means.**",
    "**How bad.**",
    "## First look",
    "## Likely causes",
    "## What to do",
    "## Silence, end",
)

Tool = Callable[..., str]


@pytest.fixture
def tool(binary: Callable[[str], str]) -> Tool:
    def run(name: str, *arguments: str | Path) -> str:
        command = [binary(name), *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.mark.needs("promtool")
def test_prometheus_accepts_its_configuration_and_the_rules(tool: Tool) -> None:
    said = tool("promtool", "check", "config", PROMETHEUS / "prometheus.yml")
    assert sum(map(int, re.findall(r"(\d+) rules found", said))) == len(rules())


@pytest.mark.needs("promtool")
def test_every_rule_fires_and_stays_silent_as_its_tests_say(tool: Tool, tmp_path: Path) -> None:
    files = sorted((PROMETHEUS / "tests").glob("*.yml"))
    cases = [case for file in files for case in write_cases(file, tmp_path)]
    assert len(cases) == sum(len(load(file)["tests"]) for file in files)
    assert tool("promtool", "test", "rules", *cases).count("SUCCESS") == len(cases)


@pytest.mark.needs("promtool")
def test_every_query_of_the_documents_is_valid(tool: Tool, tmp_path: Path) -> None:
    queries = [{"record": f"query_{i}", "expr": query} for i, (_, query) in enumerate(documented_queries())]
    file = tmp_path / "queries.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "documented", "rules": queries}]}))
    assert f"{len(queries)} rules found" in tool("promtool", "check", "rules", file)


@pytest.mark.needs("amtool")
def test_alertmanager_accepts_its_configuration(tool: Tool) -> None:
    tool("amtool", "check-config", ALERTMANAGER)


@pytest.mark.needs("amtool")
@pytest.mark.parametrize(
    "alert", alerts(), ids=lambda alert: f"{alert['alert']}-{alert['labels']['severity']}"
)
def test_every_alert_reaches_amani_and_the_special_ones_their_second_receiver(
    alert: dict[str, Any], tool: Tool
) -> None:
    labels = [f"{name}={value}" for name, value in alert["labels"].items()]
    receivers = tool(
        "amtool",
        "config",
        "routes",
        "test",
        f"--config.file={ALERTMANAGER}",
        f"alertname={alert['alert']}",
        *labels,
    )
    assert receivers.strip().split(",") == expected_receivers(alert["labels"])


def expected_receivers(labels: dict[str, str]) -> list[str]:
    if labels.get("notified_by") != "alertmanager":
        return ["amani"]
    return ["slack-and-pagerduty" if labels["severity"] == "critical" else "slack", "amani"]


def test_exactly_the_alerts_that_amani_might_be_unable_to_send_are_sent_by_alertmanager() -> None:
    marked = {alert["alert"] for alert in alerts() if alert["labels"].get("notified_by") == "alertmanager"}
    assert marked == SENT_BY_ALERTMANAGER


@pytest.mark.parametrize(
    "alert", alerts(), ids=lambda alert: f"{alert['alert']}-{alert['labels']['severity']}"
)
def test_every_alert_says_how_bad_it_is_what_it_means_and_where_to_read_on(alert: dict[str, Any]) -> None:
    name, labels, annotations = alert["alert"], alert["labels"], alert["annotations"]
    assert labels["severity"] in {"critical", "error", "warning", "info", "none"}
    assert labels["service"] == "amani"
    assert set(labels) <= {"severity", "service", "scope", "notified_by"}
    assert set(annotations) == {"summary", "description", "runbook_url"}
    assert annotations["runbook_url"] == f"http://localhost:8000/runbooks/{name}/"
    assert (RUNBOOKS / f"{name}.md").is_file()


def test_only_the_watchdog_has_no_severity_that_notifies() -> None:
    assert [alert["alert"] for alert in alerts() if alert["labels"]["severity"] == "none"] == ["Watchdog"]


def test_rules_of_one_name_differ_in_scope_or_severity() -> None:
    keys = Counter((a["alert"], a["labels"].get("scope"), a["labels"]["severity"]) for a in alerts())
    assert [key for key, count in keys.items() if count > 1] == []
    shared = {name for name, count in Counter(a["alert"] for a in alerts()).items() if count > 1}
    assert [a["alert"] for a in alerts() if a["alert"] in shared and "scope" not in a["labels"]] == []


def test_what_amani_raises_itself_has_a_runbook_page() -> None:
    assert set(RUNBOOK_PAGES.values()) <= set(NAMES)


def test_every_runbook_page_belongs_to_a_rule() -> None:
    assert sorted(page.stem for page in RUNBOOKS.glob("*.md")) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_runbook_page_answers_the_same_questions(name: str) -> None:
    text = (RUNBOOKS / f"{name}.md").read_text()
    assert text.startswith(f"# {name}\n")
    positions = [text.find(section) for section in SECTIONS]
    assert -1 not in positions
    assert positions == sorted(positions)


@pytest.mark.parametrize("name", NAMES)
def test_every_link_between_runbook_pages_leads_somewhere(name: str) -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", (RUNBOOKS / f"{name}.md").read_text())
    assert [link for link in links if not (RUNBOOKS / link).is_file()] == []


@cache
def promtool_expectations() -> dict[str, set[bool]]:
    """Whether an alert is expected to fire, to be silent, or both, somewhere in the promtool tests."""
    seen: dict[str, set[bool]] = {}
    for file in (PROMETHEUS / "tests").glob("*.yml"):
        for case in load(file)["tests"]:
            for check in case.get("alert_rule_test", []):
                seen.setdefault(check["alertname"], set()).add(bool(check["exp_alerts"]))
    return seen


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"Watchdog"}))
def test_every_alert_has_a_promtool_test_that_fires_and_one_that_is_silent(name: str) -> None:
    assert promtool_expectations()[name] == {True, False}


def test_the_watchdog_has_only_tests_that_fire() -> None:
    assert promtool_expectations()["Watchdog"] == {True}


def test_every_promtool_file_tests_the_shipped_rules() -> None:
    shipped = {f"../rules/{file.name}" for file in RULES.glob("*.yml")}
    tested = [set(load(file)["rule_files"]) for file in (PROMETHEUS / "tests").glob("*.yml")]
    assert all(files and files <= shipped for files in tested)


def test_prometheus_loads_every_rule_file_from_a_directory() -> None:
    """A pattern that matches nothing is no error for Prometheus, nor for promtool.

    That of docker compose loads a volume that Amani writes (tests/test_compose.py).
    """
    patterns = load(PROMETHEUS / "prometheus.yml")["rule_files"]
    assert all(pattern.endswith("rules/*.yml") for pattern in patterns)
    matched = {found.resolve() for pattern in patterns for found in PROMETHEUS.glob(pattern)}
    assert matched == set(RULES.iterdir())


def test_prometheus_scrapes_the_jobs_that_the_rules_name() -> None:
    configuration = load(PROMETHEUS / "prometheus.yml")
    targets = {
        job["job_name"]: job["static_configs"][0]["targets"] for job in configuration["scrape_configs"]
    }
    assert targets == {
        "amani": ["localhost:8000"],
        "prometheus": ["localhost:9090"],
        "alertmanager": ["localhost:9093"],
    }
    named = set(re.findall(r'job="(\w+)"', " ".join(rule["expr"] for rule in rules())))
    assert named <= set(targets)


def test_alertmanager_posts_every_alert_to_the_webhook_and_follows_no_redirect() -> None:
    receivers = {receiver["name"]: receiver for receiver in load(ALERTMANAGER)["receivers"]}
    assert receivers["amani"]["webhook_configs"] == [
        {
            "url": "http://localhost:8000/api/v1/alerts/webhook",
            "send_resolved": True,
            "max_alerts": 0,
            "http_config": {
                "follow_redirects": False,
                "authorization": {"type": "Bearer", "credentials_file": "secrets/alert_webhook_token"},
            },
        }
    ]


def test_alertmanager_keeps_no_secret_in_its_configuration() -> None:
    assert (
        re.findall(
            r"^\s*(?:- )?(?:api_url|routing_key|service_key|credentials|password):",
            ALERTMANAGER.read_text(),
            re.M,
        )
        == []
    )


def test_an_alert_is_muted_only_by_a_worse_one_of_its_own_name() -> None:
    """Then it ends with or after the other; one that ends while it is muted is never reported as resolved."""
    muted = [
        (rule["source_matchers"], rule["target_matchers"]) for rule in load(ALERTMANAGER)["inhibit_rules"]
    ]
    disk = 'alertname="DiskSpaceLow"'
    assert muted == [
        ([disk, 'severity="critical"'], [disk, 'severity="warning"']),
        (['scope="fast"'], ['scope="slow"']),
    ]
    assert load(ALERTMANAGER)["inhibit_rules"][1]["equal"] == ["alertname"]
    fast = {alert["alert"] for alert in alerts() if alert["labels"].get("scope") == "fast"}
    slow = {alert["alert"] for alert in alerts() if alert["labels"].get("scope") == "slow"}
    assert fast == {"SloApiAvailability", "SloApiLatency"}
    assert fast <= slow


def test_routes_and_inhibitions_name_alerts_that_exist() -> None:
    named = set(re.findall(r'alertname=~?"([^"]+)"', ALERTMANAGER.read_text()))
    assert named == {"Watchdog", "DiskSpaceLow"}
    assert named <= set(NAMES)
