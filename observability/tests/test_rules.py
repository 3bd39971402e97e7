"""Alert rules as rows: read from files, kept over releases, recognised on the page of an alert."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from observability.alerts.errors import RuleFileWrong
from observability.models import AlertRule, Episode, RuleGroup
from observability.rules.files import SHIPPED, read_groups, seconds_of
from observability.rules.quality import MOST_LOOKED_AT, Quality, alerts_of, quality_of, rules_of
from observability.rules.sync import Synced, sync_after_migrate, sync_rules
from observability.tests import history
from observability.tests.rule_changes import change

pytestmark = pytest.mark.django_db

RULES = """
groups:
  - name: one
    interval: 30s
    limit: 5
    rules:
      - record: job:errors:rate
        expr: rate(errors_total[5m])
      - alert: TooManyErrors
        expr: |
          job:errors:rate > 0.05
        for: 1m30s
        keep_firing_for: 5m
        labels: {severity: critical, scope: all, team: "{{ $labels.team }}"}
        annotations: {summary: "Errors on {{ $labels.job }}"}
      - alert: TooManyErrors
        expr: job:errors:rate > 0.01
        labels: {severity: warning, scope: part}
"""


def written(folder: Path, text: str = RULES) -> Path:
    (folder / "rules.yml").write_text(text)
    return folder


def rule(key: str = "TooManyErrors/all") -> AlertRule:
    return AlertRule.objects.get(key=key)


@pytest.fixture
def none(db: None) -> None:
    """Without the rows that migrations made."""
    AlertRule.objects.all().delete()
    RuleGroup.objects.all().delete()


# --- Files ---


def test_every_shipped_rule_is_a_row_after_migrate() -> None:
    shipped = {(group.name, rule.key) for group in read_groups(SHIPPED) for rule in group.rules}
    rows = AlertRule.objects.filter(removed_at=None)
    assert set(rows.values_list("group__name", "key")) == shipped
    assert len(shipped) == sum(len(group.rules) for group in read_groups(SHIPPED))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("5m", 300),
        ("1h30m", 5400),
        ("1d", 86_400),
        ("500ms", 0.5),
        ("0", 0),
        (0, 0),
        ("1w", 604_800),
        ("1s122ms", 1.122),
    ],
)
def test_durations_of_prometheus(text: str | int, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "m", "5 m", "-5m", "5m1h", "1.5h", True])
def test_what_is_no_duration(text: Any) -> None:
    with pytest.raises(ValueError, match="is no duration"):
        seconds_of(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "groups: 5",
        "groups: [{rules: []}]",
        "groups: [{name: one, rules: [{alert: A}]}]",
        "groups: [{name: one, rules: [{expr: up}]}]",
        "groups: [{name: one, rules: [{alert: A, expr: up, for: soon}]}]",
        "groups: [{name: one, rules: []}, {name: one, rules: []}]",
        "groups: [",
        "\xff",
    ],
)
def test_a_file_that_is_none_changes_nothing(none: None, tmp_path: Path, text: str) -> None:
    sync_rules(written(tmp_path))
    (tmp_path / "rules.yml").write_bytes(text.encode("latin-1"))
    with pytest.raises(RuleFileWrong, match=r"rules|folder|groups"):
        sync_rules(tmp_path)
    assert AlertRule.objects.filter(removed_at=None).count() == 3


def test_a_folder_without_rules_ends_none(none: None, tmp_path: Path) -> None:
    with pytest.raises(RuleFileWrong, match="it has no rule file"):
        sync_rules(tmp_path)


# --- Rows ---


def test_a_row_has_what_the_file_says(none: None, tmp_path: Path) -> None:
    assert sync_rules(written(tmp_path)) == Synced(added=3, changed=0, removed=0, unchanged=0)
    row = rule()
    assert (row.kind, row.name, row.position) == ("alert", "TooManyErrors", 1)
    assert (row.expression, row.severity) == ("job:errors:rate > 0.05", "critical")
    assert (row.holds_for, row.keep_firing_for_seconds) == (timedelta(seconds=90), 300)
    assert row.annotations == {"summary": "Errors on {{ $labels.job }}"}
    group = row.group
    assert (group.name, group.file, group.interval_seconds, group.limit) == ("one", "rules.yml", 30, 5)
    assert rule("job:errors:rate").kind == "record"
    assert row.fixed_labels == {"scope": "all"}


def test_a_release_changes_adds_and_ends_rules_and_they_keep_their_rows(none: None, tmp_path: Path) -> None:
    sync_rules(written(tmp_path))
    before = {row.key: row for row in AlertRule.objects.all()}
    changed = RULES.replace("0.05", "0.04").replace(
        "- record: job:errors:rate", "- record: job:errors:rate5m"
    )
    assert sync_rules(written(tmp_path, changed)) == Synced(added=1, changed=1, removed=1, unchanged=1)
    assert (rule().pk, rule().expression) == (before["TooManyErrors/all"].pk, "job:errors:rate > 0.04")
    assert rule().changed_at > before["TooManyErrors/all"].changed_at
    gone = rule("job:errors:rate")
    assert gone.removed_at is not None
    sync_rules(written(tmp_path, changed))
    assert rule("job:errors:rate").removed_at == gone.removed_at
    sync_rules(written(tmp_path))
    assert rule("job:errors:rate").removed_at is None


def test_another_place_in_the_file_is_no_other_rule(none: None, tmp_path: Path) -> None:
    sync_rules(written(tmp_path))
    before = rule()
    first = "      - record: first\n        expr: up\n"
    sync_rules(written(tmp_path, RULES.replace("    rules:\n", f"    rules:\n{first}")))
    assert (rule().position, rule().changed_at) == (2, before.changed_at)


def test_rules_that_nothing_tells_apart_are_counted(none: None, tmp_path: Path) -> None:
    same = "groups: [{name: one, rules: [{alert: A, expr: a}, {alert: A, expr: b}]}]"
    sync_rules(written(tmp_path, same))
    assert set(AlertRule.objects.values_list("key", "expression")) == {("A", "a"), ("A/2", "b")}


def test_rows_are_synced_by_migrate_and_not_when_tables_are_emptied(none: None) -> None:
    sync_after_migrate()
    assert not AlertRule.objects.exists()
    sync_after_migrate(plan=[])
    assert AlertRule.objects.filter(name="ApplicationDown").exists()


def test_a_migration_does_not_fail_where_the_files_are_missing(
    none: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    sync_rules(written(tmp_path))
    monkeypatch.setattr("observability.rules.sync.read_groups", lambda _: read_groups(tmp_path / "none"))
    sync_after_migrate(plan=[])
    assert AlertRule.objects.filter(removed_at=None).count() == 3
    assert "alert_rules_not_read" in caplog.text


def test_the_command_reports_and_names_the_file_that_is_wrong(
    none: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("sync_alert_rules", folder=written(tmp_path))
    assert capsys.readouterr().out == "3 added, 0 changed, 0 removed, 0 unchanged.\n"
    with pytest.raises(CommandError, match=r"rules\.yml cannot be read"):
        call_command("sync_alert_rules", folder=written(tmp_path, "groups: ["))


# --- The rule of an alert, and how useful it was ---


def fired(number: int, scope: str = "all", **changes: Any) -> Episode:
    severity = "warning" if scope == "part" else "critical"
    labels = {"alertname": "TooManyErrors", "scope": scope, "severity": severity, "instance": "web-1"}
    return history.episode(number, alertname="TooManyErrors", labels=labels, **changes)


def test_an_alert_knows_its_rule_by_name_and_labels(none: None, tmp_path: Path) -> None:
    sync_rules(written(tmp_path))
    assert [found.key for found in rules_of(fired(1))] == ["TooManyErrors/all"]
    assert [found.key for found in rules_of(fired(2, "part"))] == ["TooManyErrors/part"]
    assert rules_of(fired(3, "elsewhere")) == []
    assert rules_of(history.episode(4)) == []


def test_an_alert_of_a_tuned_severity_belongs_to_its_rule(none: None, tmp_path: Path) -> None:
    sync_rules(written(tmp_path))
    change(rule(), severity="info")
    labels = {"alertname": "TooManyErrors", "scope": "all", "instance": "web-1"}
    found = [
        history.episode(number, alertname="TooManyErrors", labels=labels | {"severity": severity})
        for number, severity in enumerate(("info", "critical", "warning"))
    ]
    assert [[each.key for each in rules_of(episode)] for episode in found] == [
        ["TooManyErrors/all"],
        ["TooManyErrors/all"],
        [],
    ]
    assert quality_of([rule()])[rule().pk].fired == 2
    assert alerts_of(rule()).count() == 2


def test_the_rule_of_this_release_comes_before_one_that_is_gone(none: None, tmp_path: Path) -> None:
    sync_rules(written(tmp_path))
    sync_rules(written(tmp_path, RULES.replace("name: one", "name: other")))
    assert [found.group.name for found in rules_of(fired(1))] == ["other", "one"]


def test_the_last_30_days_of_a_rule(
    none: None, tmp_path: Path, django_user_model: Any, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    sync_rules(written(tmp_path))
    ada = django_user_model.objects.create_user("ada@example.com")
    now = timezone.now()
    for number, minutes in ((10, 1), (20, 2), (30, 6)):
        began = now - timedelta(minutes=number)
        fired(
            number,
            status="resolved",
            starts_at=began,
            ends_at=began + timedelta(minutes=2 * minutes),
            acknowledged_at=began + timedelta(minutes=minutes),
            acknowledged_by=ada,
            mark="useful" if minutes > 1 else "noise",
            previous_end_at=began - timedelta(minutes=9 if minutes == 6 else 11),
        )
    fired(31 * 24 * 60)  # before
    fired(5, "part")
    with django_assert_num_queries(3):
        found = quality_of(AlertRule.objects.all())
    assert found.keys() == {rule().pk, rule("TooManyErrors/part").pk}
    quality = found[rule().pk]
    assert quality._replace(last_fired_at=None) == Quality(
        fired=3,
        acknowledged=3,
        useful=2,
        noise=1,
        flapped=1,
        until_acknowledged=timedelta(minutes=2),
        until_resolved=timedelta(minutes=4),
    )
    assert quality.last_fired_at == now - timedelta(minutes=10)
    assert not quality.is_mostly_noise
    assert found[rule("TooManyErrors/part").pk].is_never_acknowledged


def test_what_a_few_alerts_say() -> None:
    assert Quality(fired=MOST_LOOKED_AT).fired_text == "1,000+"
    assert Quality(fired=2).fired_text == "2"
    assert Quality(fired=3, useful=1, noise=2).is_mostly_noise
    assert not Quality().is_never_acknowledged
