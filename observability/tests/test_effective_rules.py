"""The rules that Prometheus should run: shipped, tuned, disabled and the operators' own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, transaction
from pytest_django import DjangoAssertNumQueries

from observability.alerts.errors import RuleFileWrong
from observability.models import AlertRule, RuleChange
from observability.rules.effective import effective_groups
from observability.rules.files import SHIPPED, Group, Rule, read_file, read_groups
from observability.rules.render import render
from observability.rules.sync import sync_rules
from observability.tests.rule_changes import change, own, shipped

pytestmark = pytest.mark.django_db

KEY = "DatabaseConnectionIssues/connections"


def rule_in(groups: list[Group], key: str) -> Rule | None:
    return next((rule for group in groups for rule in group.rules if rule.key == key), None)


def effective(key: str = KEY) -> Rule:
    found = rule_in(effective_groups(), key)
    assert found is not None
    return found


def without_threshold(group: Group) -> Group:
    return group._replace(
        rules=tuple(
            rule._replace(annotations={k: v for k, v in rule.annotations.items() if k != "threshold"})
            for rule in group.rules
        )
    )


def changed_files(folder: Path, old: str, new: str) -> Path:
    """The shipped files, with another text in them."""
    for file in SHIPPED.glob("*.yml"):
        (folder / file.name).write_text(file.read_text().replace(old, new))
    return folder


def test_without_changes_the_rules_are_the_shipped_ones_with_their_threshold() -> None:
    found = effective_groups()
    assert effective().annotations["threshold"] == "> 80"
    assert "threshold" not in effective("Watchdog").annotations
    assert [without_threshold(group) for group in found] == sorted(
        read_groups(SHIPPED), key=lambda group: group.name
    )


def test_names_that_occur_twice_recorded_series_intervals_and_limits_are_kept(tmp_path: Path) -> None:
    """From the file of a release to the one that Prometheus gets."""
    text = """
groups:
  - name: one
    interval: 30s
    limit: 5
    rules:
      - {record: "job:errors:rate", expr: "rate(errors_total[5m])"}
      - {alert: Many, expr: "job:errors:rate > 5", for: 1m30s, keep_firing_for: 5m, labels: {scope: all}}
      - {alert: Many, expr: "job:errors:rate > 1", labels: {scope: part}}
      - {alert: Many, expr: "job:errors:rate > 9"}
"""
    (tmp_path / "rules.yml").write_text(text)
    sync_rules(tmp_path)
    change(shipped("Many/part"), threshold=2, expression="job:errors:rate > 2")
    for name, content in render(effective_groups()).items():
        (tmp_path / name).write_text(content)
    [group] = read_file(tmp_path / "amani.yml")
    assert (group.name, group.interval_seconds, group.limit) == ("one", 30, 5)
    assert [
        (rule.kind, rule.key, rule.expression, rule.for_seconds, rule.keep_firing_for_seconds)
        for rule in group.rules
    ] == [
        ("record", "job:errors:rate", "rate(errors_total[5m])", 0, 0),
        ("alert", "Many/all", "job:errors:rate > 5", 90, 300),
        ("alert", "Many/part", "job:errors:rate > 2", 0, 0),
        ("alert", "Many", "job:errors:rate > 9", 0, 0),
    ]


def test_a_tuned_rule_differs_in_what_is_tuned() -> None:
    row = shipped(KEY)
    change(row, threshold=120, expression="sum(x) > 120", for_seconds=600, keep_firing_for_seconds=60)
    assert effective() == Rule(
        key=KEY,
        kind=AlertRule.Kind.ALERT,
        name="DatabaseConnectionIssues",
        expression="sum(x) > 120",
        for_seconds=600,
        keep_firing_for_seconds=60,
        labels=row.labels,
        annotations={
            **row.annotations,
            "threshold": "> 120",
            "description": "{{ $value }} open connections for 5 minutes (limit 80). "
            "Tuned: > 120 instead of > 80, for 10m instead of 5m.",
        },
    )


def test_labels_are_added_and_severity_and_runbook_replaced() -> None:
    row = shipped(KEY)
    change(row, severity="info", labels={"team": "payments", "service": "other"}, runbook_url="https://x/y")
    assert effective().labels == {**row.labels, "severity": "info", "team": "payments"}
    assert effective().annotations == {**row.annotations, "threshold": "> 80", "runbook_url": "https://x/y"}


def test_a_disabled_rule_is_left_out_and_the_newest_change_holds() -> None:
    row = shipped(KEY)
    change(row, enabled=False)
    assert rule_in(effective_groups(), KEY) is None
    change(row)
    assert effective().expression == row.expression


def test_the_operators_own_rules_are_a_group_of_their_own() -> None:
    row = own(labels={"severity": "error"}, for_seconds=60)
    change(row, kind="created")
    own("Ended", removed_at=row.added_at, position=1)
    [group] = [group for group in effective_groups() if group.name == "operators"]
    assert (group.file, group.interval_seconds, group.limit) == ("operators.yml", None, None)
    assert [rule.name for rule in group.rules] == ["QueueLong"]
    assert (group.rules[0].expression, group.rules[0].labels) == ("queue_length > 100", {"severity": "error"})


def test_it_takes_two_queries_however_much_is_tuned(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    for row in AlertRule.objects.filter(kind="alert")[:20]:
        change(row, for_seconds=1)
        change(row, for_seconds=2)
    with django_assert_num_queries(2):
        effective_groups()


# --- Upgrades ---


def test_an_upgrade_keeps_the_tuning_and_the_change_knows_what_was_shipped(tmp_path: Path) -> None:
    row, mine = shipped(KEY), own()
    change(row, for_seconds=900)
    assert sync_rules(changed_files(tmp_path, "open connections for 5 minutes", "connections")).changed == 1
    assert effective().for_seconds == 900
    assert effective().annotations["description"] == (
        "{{ $value }} connections (limit 80). Tuned: for 15m instead of 5m."
    )
    [stored] = RuleChange.objects.filter(rule=row)
    assert stored.base["annotations"]["description"] == (
        "{{ $value }} open connections for 5 minutes (limit 80)."
    )
    assert stored.base["for_seconds"] == 300
    mine.refresh_from_db()
    assert mine.removed_at is None


def test_a_tuned_threshold_is_put_into_the_expression_of_the_new_release(tmp_path: Path) -> None:
    row = shipped(KEY)
    change(row, threshold=120, expression=row.expression.replace("80", "120"))
    sync_rules(
        changed_files(tmp_path, "sum by (job) (db_connections_active", "max by (job) (db_connections_active")
    )
    assert effective().annotations["threshold"] == "> 120"
    assert effective().expression == 'max by (job) (db_connections_active{job="amani"}) > 120'
    row.refresh_from_db()
    assert (row.series, row.comparison, row.threshold) == (
        'max by (job) (db_connections_active{job="amani"})',
        ">",
        80,
    )


@pytest.mark.parametrize("new", ['{job="amani"}) < 80', '{job="amani"})'])
def test_a_threshold_for_another_comparison_is_not_used(tmp_path: Path, new: str) -> None:
    row = shipped(KEY)
    change(row, threshold=120, expression=row.expression.replace("80", "120"), for_seconds=1)
    old = 'sum by (job) (db_connections_active{job="amani"}) > 80'
    sync_rules(changed_files(tmp_path, old, f"sum by (job) (db_connections_active{new}"))
    assert effective().expression == f"sum by (job) (db_connections_active{new}"
    assert effective().for_seconds == 1
    assert "120" not in effective().annotations["description"]


def test_a_row_has_the_split_of_its_expression_and_what_is_unchanged_is_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = shipped("HighErrorRate")
    assert (row.series, row.comparison, row.threshold) == ("", "", None)
    assert row.unsplit_because == "its conditions are joined by `or`, each with a threshold of its own"
    assert shipped("instance:amani_http_errors:sum").unsplit_because == ""
    monkeypatch.setattr("observability.rules.sync.read", lambda expressions: [] if not expressions else 1 / 0)
    assert sync_rules(SHIPPED).changed == 0


def test_no_file_may_ship_the_operators_group(tmp_path: Path) -> None:
    own()
    (tmp_path / "x.yml").write_text("groups: [{name: operators, rules: [{alert: A, expr: up}]}]")
    with pytest.raises(RuleFileWrong, match="the group operators is for rules that operators add"):
        sync_rules(tmp_path)
    assert AlertRule.objects.filter(removed_at__isnull=False).count() == 0


# --- What the database refuses ---


def test_the_database_refuses_half_a_split() -> None:
    with pytest.raises(IntegrityError, match="an_expression_is_split_whole"), transaction.atomic():
        AlertRule.objects.filter(key=KEY).update(comparison="")
    assert shipped(KEY).comparison == ">"


@pytest.mark.parametrize(
    ("constraint", "values"),
    [
        ("changes_of_a_rule_have_their_own_version", {"version": 1}),
        ("changes_count_from_one", {"version": 0}),
        ("a_change_of_a_rule_has_a_reason", {"reason": ""}),
        ("a_tuned_threshold_has_its_expression", {"threshold": 1}),
        ("a_tuned_threshold_has_its_expression", {"expression": "up > 1"}),
        ("only_a_tuned_rule_has_tuned_values", {"kind": "edited", "for_seconds": 1}),
        ("a_tuned_rule_waits_no_negative_time", {"for_seconds": -1}),
        ("a_tuned_rule_keeps_firing_for_no_negative_time", {"keep_firing_for_seconds": -1}),
        ("a_tuned_severity_is_a_known_one", {"severity": "loud"}),
        ("a_tuned_threshold_is_a_number", {"threshold": float("nan"), "expression": "x"}),
        ("a_tuned_threshold_is_a_number", {"threshold": float("inf"), "expression": "x"}),
        ("a_rule_is_disabled_or_as_shipped", {"enabled": True}),
    ],
)
def test_the_database_refuses_a_change_that_makes_no_sense(constraint: str, values: dict[str, Any]) -> None:
    row = shipped()
    change(row)
    given = {"kind": "tuned", "reason": "Why.", "base": {}, "version": 2} | values
    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        RuleChange.objects.create(rule=row, **given)
    assert RuleChange.objects.count() == 1


def test_a_change_is_never_changed() -> None:
    stored = change(shipped())
    with pytest.raises(DatabaseError, match="Cannot update rows"), transaction.atomic():
        RuleChange.objects.update(reason="Another.")
    stored.refresh_from_db()
    assert stored.reason == "Too many pages."
