"""Rules, runbooks, dashboards and docs/metrics.md speak of exactly the metrics that the code exports."""

import re
from typing import NamedTuple

import pytest
from django.test import override_settings
from prometheus_client import Metric

from observability.metrics import REGISTRY
from observability.telemetry.metrics.exposition import DEPENDENCIES, OneProcess
from tests.dashboard_files import dashboard_queries
from tests.rule_files import ROOT, Matcher, documented_queries, parse_query, rules

TARGET_LABELS = {"job", "component", "instance"}
# Of other programs: Prometheus itself, Alertmanager, the exporters. Their labels, as their documents say.
FOREIGN: dict[str, set[str]] = {
    "ALERTS": {"alertname", "alertstate", "severity", "service", "scope", "notified_by"},
    "up": set(),
    "alertmanager_notifications_failed_total": {"integration"},
    "node_cpu_seconds_total": {"mode", "cpu"},
    "node_filesystem_avail_bytes": {"fstype", "mountpoint", "device"},
    "node_filesystem_readonly": {"fstype", "mountpoint", "device"},
    "node_filesystem_size_bytes": {"fstype", "mountpoint", "device"},
    "node_memory_MemAvailable_bytes": set(),
    "node_memory_MemTotal_bytes": set(),
    "pg_database_size_bytes": {"datname"},
    "pg_settings_max_connections": set(),
    "pg_stat_activity_max_tx_duration": {"datname", "state"},
    "pg_stat_database_blks_hit": {"datname"},
    "pg_stat_database_blks_read": {"datname"},
    "pg_stat_database_deadlocks": {"datname"},
    "pg_stat_database_numbackends": {"datname"},
    "pg_stat_database_xact_rollback": {"datname"},
    "pg_stat_user_tables_n_dead_tup": {"datname", "schemaname", "relname"},
    "prometheus_config_last_reload_successful": set(),
    "prometheus_notifications_alertmanagers_discovered": set(),
    "prometheus_notifications_dropped_total": set(),
    "prometheus_notifications_errors_total": {"alertmanager"},
    "prometheus_rule_evaluation_failures_total": {"rule_group"},
    "redis_commands_processed_total": set(),
    "redis_connected_clients": set(),
    "redis_memory_max_bytes": set(),
    "redis_memory_used_bytes": set(),
}


class Family(NamedTuple):
    type: str
    labels: frozenset[str]


@pytest.fixture(scope="module")
def scraped() -> list[Metric]:
    """What a scrape of a single process shows."""
    with override_settings(PROMETHEUS_MULTIPROC_DIR=""):
        return list(OneProcess(dict.fromkeys(DEPENDENCIES, True)).collect())


@pytest.fixture(scope="module")
def exported(scraped: list[Metric]) -> dict[str, Family]:
    """Type and labels by the name that docs/metrics.md uses."""
    declared = {metric._name: metric._labelnames for metric in REGISTRY._collector_to_names}  # type: ignore[attr-defined]
    families = {}
    for family in scraped:
        of_samples = {name for sample in family.samples for name in sample.labels}
        labels = declared.get(family.name, of_samples)
        name = f"{family.name}_total" if family.type == "counter" else family.name
        families[name] = Family(family.type, frozenset(labels))
    return families


@pytest.fixture(scope="module")
def series(exported: dict[str, Family]) -> dict[str, set[str]]:
    """The labels of every series that a query may name."""
    known = {name: labels | TARGET_LABELS for name, labels in FOREIGN.items()}
    for rule in rules():
        if "record" in rule:
            labels = TARGET_LABELS | set(rule.get("labels", {})) | parse_query(rule["expr"]).grouping
            known[rule["record"]] = known.get(rule["record"], set()) | labels
    for name, family in exported.items():
        labels = TARGET_LABELS | family.labels
        if family.type == "histogram":
            known |= {f"{name}_bucket": labels | {"le"}, f"{name}_sum": labels, f"{name}_count": labels}
        else:
            known[name] = labels
    return known


@pytest.fixture(scope="module")
def recorded(scraped: list[Metric]) -> dict[tuple[str, str], set[str]]:
    """The values of each label of each series that is exported from the start."""
    found: dict[tuple[str, str], set[str]] = {}
    for family in scraped:
        for sample in family.samples:
            for label, value in sample.labels.items():
                found.setdefault((sample.name, label), set()).add(value)
    return found


QUERIES = [(rule.get("alert") or rule["record"], rule["expr"]) for rule in rules()] + list(
    documented_queries()
)
IDS = [f"{place}-{number}" for number, (place, _) in enumerate(QUERIES)]


@pytest.mark.parametrize("query", [query for _, query in QUERIES], ids=IDS)
def test_every_query_uses_metrics_and_labels_that_exist(query: str, series: dict[str, set[str]]) -> None:
    assert what_is_missing(query, series) == set()


@pytest.mark.parametrize("query", [query for _, query in QUERIES], ids=IDS)
def test_every_query_asks_for_label_values_that_the_code_records(
    query: str, recorded: dict[tuple[str, str], set[str]]
) -> None:
    assert values_never_recorded(query, recorded) == []


def test_every_panel_asks_for_what_the_code_exports(
    series: dict[str, set[str]], recorded: dict[tuple[str, str], set[str]]
) -> None:
    for query in dashboard_queries():
        assert what_is_missing(query.promql, series) == set(), query
        assert values_never_recorded(query.promql, recorded) == [], query


def what_is_missing(query: str, series: dict[str, set[str]]) -> set[str]:
    """Metrics, or else labels, that the query names and nothing exports."""
    parsed = parse_query(query)
    if unknown := parsed.metrics - set(series):
        return unknown
    wrong = {matcher.label for matcher in parsed.matchers if matcher.label not in series[matcher.metric]}
    return wrong | (parsed.grouping - set().union(*(series[metric] for metric in parsed.metrics)))


def values_never_recorded(query: str, recorded: dict[tuple[str, str], set[str]]) -> list[Matcher]:
    return [
        matcher
        for matcher in parse_query(query).matchers
        if is_closed(matcher) and not asked_values(matcher) <= recorded[matcher.metric, matcher.label]
    ]


def is_closed(matcher: Matcher) -> bool:
    """Whether all values of the label are exported from the start. Tasks are known when they run."""
    closed = ("amani_alert", "amani_escrow", "amani_kyc", "amani_ledger", "amani_limit", "kyc_submissions")
    return matcher.metric.startswith(closed) and matcher.label not in TARGET_LABELS


def asked_values(matcher: Matcher) -> set[str]:
    return set(matcher.value.split("|"))


def test_the_page_of_metrics_lists_every_metric_with_its_type_and_labels(exported: dict[str, Family]) -> None:
    rows = re.findall(
        r"^\| `([a-z_]+)` \| (\w+) \| ([^|]*)\|", (ROOT / "docs/metrics.md").read_text(), re.MULTILINE
    )
    documented = {
        name: Family(kind, frozenset(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows
    }
    assert documented == exported
    assert len(rows) == len(documented)


def test_a_query_is_taken_apart_into_metrics_matchers_and_grouping() -> None:
    query = (
        'sum by (job, le) (rate(a_bucket{x="1", y!~"b|c"}[5m])) > 1e+3 '
        "and on (job) time() - max(up) == 0 or n:a:sum"
    )
    assert parse_query(query) == (
        {"a_bucket", "up", "n:a:sum"},
        [Matcher("a_bucket", "x", "=", "1"), Matcher("a_bucket", "y", "!~", "b|c")],
        {"job", "le"},
    )
