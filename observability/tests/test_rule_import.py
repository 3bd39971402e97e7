"""Importing rule files: tuning and own rules become what the files say, or nothing is stored."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from observability.alerts.errors import (
    CannotImport,
    MayNotTune,
    ReasonMissing,
    RuleChangedMeanwhile,
    RuleFileWrong,
)
from observability.models import AlertRule, RuleChange, RuleGroup, RulesVersion
from observability.roles import TUNE_RULE
from observability.rules.expressions import reading
from observability.rules.expressions.reading import put
from observability.rules.files import SHIPPED
from observability.rules.importing import Imported, agreement, import_rules, storing
from observability.rules.own import Own, create_rule, own_of
from observability.rules.publication import in_git
from observability.rules.tuning import NOTHING, Tuning, tune, tuning_of, without_shipped
from observability.tests.prometheus_stand_in import PrometheusStandIn, success
from observability.tests.rule_changes import change, own, shipped
from observability.tests.vendors import Reply

pytestmark = pytest.mark.django_db

KEY = "DatabaseConnectionIssues/connections"
CONNECTIONS = 'sum by (job) (db_connections_active{job="amani"})'  # > 80
UP = 'up{job="amani", component!~"worker|beat"}'
DOWN = f"{UP} == 0 and on (job) max by (job) ({UP}) == 1"  # ApplicationDown/instance
OWN = {
    "alert": "QueueLong",
    "expr": "queue_length > 100",
    "for": "5m",
    "labels": {"severity": "warning", "team": "x"},
    "annotations": {"summary": "The queue is long."},
}
NO_SUMMARY = "summary: Say in a line what is wrong when it fires."
COMPARES_NOTHING = "It compares nothing: without a comparison or absent() it fires for every series it finds."
Content = dict[str, Any]  # of a rule file


@pytest.fixture(autouse=True)
def no_prometheus(settings: Any) -> None:
    settings.PROMETHEUS_URL = "http://127.0.0.1:9"


@pytest.fixture
def prometheus(settings: Any, no_prometheus: None) -> Iterator[PrometheusStandIn]:
    """A Prometheus that accepts each expression."""
    stand_in = PrometheusStandIn()
    stand_in.replies["format_query"] = success("")
    settings.PROMETHEUS_URL = stand_in.url
    yield stand_in
    stand_in.close()


@pytest.fixture
def approver(operator: Callable[..., Any]) -> Any:
    return operator("approver")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    git = tmp_path / "git"
    git.mkdir()
    return git


@pytest.fixture
def from_git(folder: Path, approver: Any) -> Callable[..., Imported]:
    """`from_git()` imports the folder; with content, that content."""

    def imported(content: Content | None = None, **options: Any) -> Imported:
        if content is not None:
            (folder / "rules.yml").write_text(as_yaml(content))
        return import_rules(folder, **({"actor": approver, "reason": "As in git."} | options))

    return imported


def as_yaml(content: Content) -> str:
    return str(yaml.dump(content, Dumper=yaml.CSafeDumper))


def exported() -> Content:
    """What `alert_rules export` prints."""
    content: Content = yaml.load(in_git.export(None), Loader=yaml.CSafeLoader)
    return content


def group_in(content: Content, name: str) -> Any:
    for group in content["groups"]:
        if group["name"] == name:
            return group
    content["groups"].append({"name": name, "rules": []})
    return content["groups"][-1]


def rule_in(content: Content, name: str, scope: str | None = None) -> Any:
    return next(
        rule
        for group in content["groups"]
        for rule in group["rules"]
        if rule.get("alert", rule.get("record")) == name
        and scope in (None, rule.get("labels", {}).get("scope"))
    )


def connections_in(content: Content) -> Any:
    return rule_in(content, "DatabaseConnectionIssues", "connections")


def without(content: Content, rule: Any) -> None:
    for group in content["groups"]:
        if rule in group["rules"]:
            group["rules"].remove(rule)


def by_hand(content: Content) -> Content:
    """As a team writes it that never exported: without what Amani adds."""
    for group in content["groups"]:
        for rule in group["rules"]:
            rule.get("annotations", {}).pop("threshold", None)
    return content


def summary(done: Imported) -> list[tuple[str, str, list[tuple[str, ...]]]]:
    return [(step.key, step.what, [tuple(line) for line in step.lines]) for step in done.steps]


def differs(about: str, advice: str, there: str, here: str) -> str:
    """A difference in the words of `agreement`."""
    return f"{about} differs. {advice}\n  in the files: {there}\n  here: {here}"


def newest(key: str = KEY) -> RuleChange | None:
    return RuleChange.objects.filter(rule__key=key).order_by("-version").first()


# --- Nothing differs ---


def test_what_was_exported_changes_nothing_and_starts_no_parser(
    from_git: Callable[..., Imported], monkeypatch: pytest.MonkeyPatch
) -> None:
    connections = shipped(KEY)
    change(connections, threshold=120, expression=connections.expression.replace("80", "120"), for_seconds=1)
    change(shipped("HighErrorRate"), labels={"scope": "web", "service": "not this"}, severity="info")
    change(shipped("DiskSpaceLow/machine"), enabled=False)  # what is left of two is the second
    change(own(labels={"severity": "error"}, annotations={"summary": "Long."}), kind="created")
    change(own("Ended", removed_at=connections.added_at, position=1), kind="ended")
    content, stored = exported(), RuleChange.objects.count()
    monkeypatch.setattr(reading, "answers_of_process", lambda questions: 1 / 0)
    assert from_git(content) == Imported([], [], None)
    assert RuleChange.objects.count() == stored


def test_neither_the_order_nor_the_number_of_files_counts(
    from_git: Callable[..., Imported], folder: Path
) -> None:
    content = exported()
    for number, group in enumerate(reversed(content["groups"])):
        group["rules"].reverse()
        (folder / f"{number}.yml").write_text(as_yaml({"groups": [group]}))
    assert summary(from_git()) == []


def test_the_shipped_files_undo_what_is_tuned_and_end_own_rules(
    from_git: Callable[..., Imported], folder: Path
) -> None:
    for file in SHIPPED.glob("*.yml"):
        (folder / file.name).write_text(file.read_text())
    assert summary(from_git()) == []
    connections = shipped(KEY)
    change(connections, threshold=120, expression=connections.expression.replace("80", "120"), for_seconds=60)
    change(shipped("HighErrorRate"), enabled=False)
    change(own(), kind="created")
    assert summary(from_git()) == [
        ("HighErrorRate", "tuned", [("state", "disabled", "as shipped")]),
        (KEY, "tuned", [("threshold", "> 120", "as shipped"), ("for", "1m", "as shipped")]),
        ("QueueLong", "ended", []),
    ]
    assert (tuning_of(newest(KEY)), tuning_of(newest("HighErrorRate"))) == (NOTHING, NOTHING)
    assert summary(from_git()) == []


# --- Shipped rules ---


@pytest.mark.parametrize(
    ("edit", "tuning"),
    [
        (lambda rule: rule.update({"for": "1s122ms"}), Tuning(for_seconds=1.122)),
        (lambda rule: rule.pop("for"), Tuning(for_seconds=0)),
        (lambda rule: rule.update(keep_firing_for="1h"), Tuning(keep_firing_for_seconds=3600)),
        (lambda rule: rule["labels"].update(severity="info"), Tuning(severity="info")),
        (lambda rule: rule["labels"].update(team="x", floor="2"), Tuning(labels={"team": "x", "floor": "2"})),
        (
            lambda rule: rule["annotations"].update(runbook_url="https://x/y"),
            Tuning(runbook_url="https://x/y"),
        ),
        (
            lambda rule: rule.update(
                expr='sum by (job)(\n  db_connections_active{job="amani"}) # all\n > 0.90'
            ),
            Tuning(threshold=0.9),
        ),
    ],
)
def test_a_rule_gets_the_tuning_that_makes_it_that_of_the_file(
    edit: Callable[[Any], None], tuning: Tuning, from_git: Callable[..., Imported], approver: Any
) -> None:
    content = by_hand(exported())
    edit(connections_in(content))
    [step] = from_git(content).steps
    stored = newest()
    assert stored is not None
    assert (step.group, step.key, step.what) == ("amani_database", KEY, "tuned")
    assert (stored.kind, stored.version, stored.actor, stored.reason) == ("tuned", 1, approver, "As in git.")
    assert tuning_of(stored) == tuning
    expression = 'sum by (job) (db_connections_active{job="amani"}) > 0.9' if tuning.threshold else ""
    assert stored.expression == expression
    assert summary(from_git(content)) == []


def test_an_exported_file_may_keep_what_amani_added_if_it_is_right(from_git: Callable[..., Imported]) -> None:
    content = exported()
    rule = connections_in(content)
    rule["expr"] = rule["expr"].replace("80", "120")
    rule["for"] = "10m"
    rule["annotations"]["threshold"] = "> 120"
    rule["annotations"]["description"] += " Tuned: > 120 instead of > 80, for 10m instead of 5m."
    from_git(content)
    assert connections_in(exported()) == rule
    rule["annotations"]["threshold"] = "> 80"
    with pytest.raises(CannotImport) as refused:
        from_git(content)
    assert refused.value.problems == [
        differs(f"amani_database: {KEY}: threshold", agreement.WRITTEN_BY_AMANI, "> 80", "> 120")
    ]
    rule["annotations"] |= {"threshold": "> 120", "description": "Tuned: nothing."}
    with pytest.raises(CannotImport, match=r"Amani adds the sentence \*Tuned: …\* itself: leave it out"):
        from_git(content)


def test_a_rule_that_no_file_has_is_disabled_and_keeps_what_else_is_tuned(
    from_git: Callable[..., Imported],
) -> None:
    connections = shipped(KEY)
    expression = connections.expression.replace("80", "120")
    change(connections, threshold=120, expression=expression)
    content = exported()
    rule = connections_in(content)
    without(content, rule)
    assert summary(from_git(content)) == [(KEY, "tuned", [("state", "as shipped", "disabled")])]
    assert tuning_of(newest()) == Tuning(threshold=120, enabled=False)
    group_in(content, "amani_database")["rules"].append(rule)
    from_git(content)
    assert tuning_of(newest()) == Tuning(threshold=120)


def test_of_two_rules_with_one_name_and_scope_each_gets_its_own(from_git: Callable[..., Imported]) -> None:
    content = by_hand(exported())
    first = rule_in(content, "DiskSpaceLow")
    without(content, first)
    second = rule_in(content, "DiskSpaceLow")
    assert (first["labels"]["severity"], second["labels"]["severity"]) == ("warning", "critical")
    second["expr"] = second["expr"].replace("0.04", "0.1")
    second["labels"]["severity"] = "warning"
    from_git(content)
    assert tuning_of(newest("DiskSpaceLow/machine")) == Tuning(enabled=False)
    assert tuning_of(newest("DiskSpaceLow/machine/2")) == Tuning(threshold=0.1, severity="warning")


def test_a_label_scope_that_was_added_is_a_label_like_others(from_git: Callable[..., Imported]) -> None:
    content = exported()
    rule_in(content, "HighErrorRate")["labels"]["scope"] = "web"
    from_git(content)
    assert tuning_of(newest("HighErrorRate")) == Tuning(labels={"scope": "web"})


def test_a_tuning_that_a_release_has_overtaken_is_confirmed(from_git: Callable[..., Imported]) -> None:
    """The threshold was tuned for another comparison, so the shipped one held."""
    connections = shipped(KEY)
    base = connections.base | {"comparison": "<", "expression": "sum(x) < 80"}
    change(connections, threshold=120, expression="sum(x) < 120", base=base)
    content = by_hand(exported())
    assert summary(from_git(content)) == []
    connections_in(content)["expr"] = connections.expression.replace("80", "120")
    assert summary(from_git(content)) == [(KEY, "tuned", [])]
    assert summary(from_git(content)) == []


# --- Own rules ---


def test_own_rules_are_added_edited_ended_and_begun_again(
    from_git: Callable[..., Imported], approver: Any, prometheus: PrometheusStandIn
) -> None:
    content = exported()
    group = group_in(content, "operators")
    group["rules"] = [OWN, OWN | {"alert": "Other", "labels": {"severity": "info", "scope": "a"}}]
    done = from_git(content)
    assert summary(done)[0] == (
        "QueueLong",
        "added",
        [
            ("expression", "", "queue_length > 100"),
            ("for", "0s", "5m"),
            ("severity", "—", "warning"),
            ("label team", "—", "x"),
            ("summary", "—", "The queue is long."),
        ],
    )
    assert str(done.warnings[0]) == (
        "operators: QueueLong: Prometheus has no series queue_length{} now. Check its name and labels."
    )
    row = AlertRule.objects.get(key="QueueLong")
    assert own_of(row) == Own(
        "QueueLong", "queue_length > 100", 300, 0, "warning", {"team": "x"}, "The queue is long.", "", ""
    )
    assert (row.series, row.comparison, row.threshold) == ("queue_length", ">", 100)
    assert summary(from_git(content)) == []

    group["rules"][0] = OWN | {"expr": "queue_length > 50"}
    assert summary(from_git(content)) == [
        ("QueueLong", "edited", [("expression", "queue_length > 100", "queue_length > 50")])
    ]
    mine = group["rules"].pop(0)
    assert summary(from_git(content)) == [("QueueLong", "ended", [])]
    group["rules"].append(mine)
    assert summary(from_git(content)) == [("QueueLong", "begun again", [])]
    changes = RuleChange.objects.filter(rule=row).order_by("version").values_list("version", "kind", "actor")
    kinds = ["created", "edited", "ended", "edited"]
    assert list(changes) == [(number, kind, approver.pk) for number, kind in enumerate(kinds, 1)]


def test_without_prometheus_own_rules_are_taken_and_what_was_not_checked_is_said(
    from_git: Callable[..., Imported],
) -> None:
    content = exported()
    group_in(content, "operators")["rules"] = [OWN]
    [warning] = from_git(content).warnings
    assert warning.text == (
        "Prometheus did not answer. Not checked: whether its series exist, whether its windows cover several "
        "scrapes, how long it takes."
    )
    assert AlertRule.objects.get(key="QueueLong").removed_at is None


# --- What cannot be imported ---


def add_own(**fields: Any) -> Callable[[Content], Any]:
    return lambda content: group_in(content, "operators")["rules"].append(OWN | fields)


def edit(name: str, scope: str | None = None, **fields: Any) -> Callable[[Content], Any]:
    return lambda content: rule_in(content, name, scope).update(fields)


def relabel(name: str, **labels: str) -> Callable[[Content], Any]:
    return lambda content: rule_in(content, name)["labels"].update(labels)


def annotate(name: str, **texts: str) -> Callable[[Content], Any]:
    return lambda content: rule_in(content, name)["annotations"].update(texts)


PROBLEMS: dict[str, tuple[Callable[[Content], Any], str]] = {
    "another expression": (
        edit("DatabaseConnectionIssues", "connections", expr="sum(x) > 80"),
        differs(
            f"amani_database: {KEY}: expression",
            agreement.EXPRESSION_STAYS,
            "sum(x) > 80",
            f"{CONNECTIONS} > 80",
        ),
    ),
    "a threshold that is calculated": (
        edit("DatabaseConnectionIssues", "connections", expr=f"{CONNECTIONS} > 9 * 9"),
        differs(
            f"amani_database: {KEY}: expression",
            agreement.EXPRESSION_STAYS,
            f"{CONNECTIONS} > 9 * 9",
            f"{CONNECTIONS} > 81",
        ),
    ),
    "an expression without a threshold of its own": (
        edit("ApplicationDown", "instance", expr="up > 0 or up < 1"),
        differs(
            "amani_application: ApplicationDown/instance: expression",
            agreement.EXPRESSION_STAYS,
            "up > 0 or up < 1",
            DOWN,
        ),
    ),
    "an expression that cannot be parsed": (
        edit("ApplicationDown", "instance", expr="up >"),
        differs(
            "amani_application: ApplicationDown/instance: expression",
            agreement.EXPRESSION_STAYS,
            "up >",
            DOWN,
        ),
    ),
    "another label of the rule itself": (
        relabel("HighErrorRate", service="mine"),
        differs("amani_application: HighErrorRate: label service", agreement.LABEL_STAYS, "mine", "amani"),
    ),
    "a label that may not be added": (
        relabel("HighErrorRate", alertname="x"),
        "amani_application: HighErrorRate: labels: alertname has a field of its own.",
    ),
    "an unknown severity": (
        relabel("HighErrorRate", severity="loud"),
        "amani_application: HighErrorRate: severity: Amani knows no such severity.",
    ),
    "an added annotation": (
        annotate("HighErrorRate", dashboard="x"),
        differs("amani_application: HighErrorRate: dashboard", agreement.TEXT_STAYS, "x", "—"),
    ),
    "no runbook": (
        lambda content: rule_in(content, "HighErrorRate")["annotations"].pop("runbook_url"),
        differs(
            "amani_application: HighErrorRate: runbook_url",
            agreement.RUNBOOK_STAYS,
            "—",
            "http://localhost:8000/runbooks/HighErrorRate/",
        ),
    ),
    "a rule that no release ships": (
        lambda content: group_in(content, "mine")["rules"].append(OWN),
        f"mine: QueueLong: {agreement.NOT_SHIPPED}",
    ),
    "another interval": (
        lambda content: group_in(content, "amani_dashboards").update(interval="1m"),
        differs("amani_dashboards: interval", agreement.GROUP_STAYS, "1m", "15s"),
    ),
    "a limit": (
        lambda content: group_in(content, "amani_database").update(limit=3),
        differs("amani_database: limit", agreement.GROUP_STAYS, "3", "—"),
    ),
    "an interval of own rules": (
        lambda content: group_in(content, "operators").update(interval="1m", rules=[OWN]),
        differs("operators: interval", agreement.OWN_GROUP_STAYS, "1m", "—"),
    ),
    "a recorded series changed": (
        edit("job:amani_up:earlier", expr="up"),
        differs(
            "amani_application: job:amani_up:earlier: expression",
            agreement.RECORD_STAYS,
            "up",
            'max by (job) (max_over_time(up{job="amani"}[1m] offset 1m))',
        ),
    ),
    "a recorded series missing": (
        lambda content: without(content, rule_in(content, "job:amani_up:earlier")),
        f"amani_application: job:amani_up:earlier: {agreement.MISSING}",
    ),
    "a series that operators record": (
        lambda content: group_in(content, "operators")["rules"].append({"record": "x:y", "expr": "up"}),
        f"operators: x:y: {agreement.NOT_OWN}",
    ),
    "two own rules of one name": (
        lambda content: group_in(content, "operators")["rules"].extend([OWN, OWN | {"for": "1m"}]),
        f"operators: QueueLong/2: {agreement.NOT_OWN}",
    ),
    "an own rule without a summary and a severity": (
        add_own(labels={}, annotations={}),
        f"operators: QueueLong: severity: Choose a severity.; {NO_SUMMARY}",
    ),
    "an own rule with another annotation": (
        add_own(annotations={"summary": "Long.", "dashboard": "x"}),
        differs("operators: QueueLong: dashboard", agreement.OWN_TEXTS, "x", "—"),
    ),
    "an own rule that compares nothing": (
        add_own(expr="queue_length"),
        f"operators: QueueLong: expression: {COMPARES_NOTHING}",
    ),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_what_neither_tuning_nor_own_rules_give_is_named_and_nothing_is_stored(
    name: str, from_git: Callable[..., Imported]
) -> None:
    spoil, text = PROBLEMS[name]
    content = by_hand(exported())
    rule_in(content, "HighResponseTime")["for"] = "1m"  # would be stored otherwise
    spoil(content)
    with pytest.raises(CannotImport) as refused:
        from_git(content)
    assert refused.value.problems == [text]
    assert not RuleChange.objects.exists()
    assert not RuleGroup.objects.filter(name="operators").exists()


def test_each_problem_is_named_once_and_all_at_once(
    from_git: Callable[..., Imported], prometheus: PrometheusStandIn
) -> None:
    error = json.dumps({"status": "error", "error": "1:3: parse error"})
    prometheus.replies["format_query"] = Reply(400, error)
    content = exported()
    rule_in(content, "HighErrorRate")["for"] = "400d"
    relabel("HighErrorRate", severity="loud")(content)
    group_in(content, "operators")["rules"].append(OWN)
    with pytest.raises(CannotImport) as refused:
        from_git(content)
    assert refused.value.problems == [
        (
            "amani_application: HighErrorRate: for_seconds: Use 0 to 365 days.; severity: Amani knows no "
            "such severity."
        ),
        "operators: QueueLong: expression: Prometheus refuses it: 1:3: parse error",
    ]


def test_a_rule_of_another_release_is_not_shipped(from_git: Callable[..., Imported]) -> None:
    content = exported()
    AlertRule.objects.filter(key=KEY).update(removed_at=shipped(KEY).added_at)
    with pytest.raises(CannotImport, match=f"{KEY}: This release ships no such rule"):
        from_git(content)


# --- Who, and why ---


def test_only_those_who_may_tune_import_and_they_say_why(
    from_git: Callable[..., Imported], operator: Callable[..., Any]
) -> None:
    content = exported()
    with pytest.raises(MayNotTune):
        from_git(content, actor=operator("responder"))
    with pytest.raises(ReasonMissing):
        from_git(content, reason=" ")


def test_a_broken_file_is_named(from_git: Callable[..., Imported], folder: Path) -> None:
    (folder / "broken.yml").write_text("groups: [{name: [], rules: [{expr: up}]}]")
    with pytest.raises(RuleFileWrong, match=r"The rules in broken\.yml cannot be read: KeyError"):
        from_git(exported())


def test_a_file_that_would_not_be_read_is_named(from_git: Callable[..., Imported], folder: Path) -> None:
    (folder / "more.yaml").write_text("groups: []")
    with pytest.raises(
        RuleFileWrong, match=r"in more\.yaml cannot be read: only files whose names end in \.yml"
    ):
        from_git(exported())


# --- At the same time ---


def after_planning(monkeypatch: pytest.MonkeyPatch, act: Callable[[], Any]) -> None:
    plan_for = storing.plan_for

    def planned(*arguments: Any) -> Any:
        plan = plan_for(*arguments)
        act()
        return plan

    monkeypatch.setattr(storing, "plan_for", planned)


def by_operator(key: str, actor: Any) -> Callable[[], Any]:
    tuning = Tuning(for_seconds=7)
    return lambda: tune(rule_id=shipped(key).pk, tuning=tuning, actor=actor, reason="Why.", seen_version=0)


def own_by_operator(actor: Any) -> Callable[[], Any]:
    rule = Own("QueueLong", "queue_length > 100", 300, 0, "warning", {}, "The queue is long.", "", "")
    return lambda: create_rule(own=rule, actor=actor, reason="Why.")


@pytest.mark.parametrize("act", ["the same rule", "another rule", "an own rule", "a release"])
def test_what_an_operator_or_a_release_changed_meanwhile_is_not_overwritten(
    act: str, from_git: Callable[..., Imported], approver: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = by_hand(exported())
    connections_in(content)["for"] = "1m"
    group_in(content, "operators")["rules"].append(OWN)
    changes = {
        "the same rule": by_operator(KEY, approver),
        "another rule": by_operator("HighErrorRate", approver),
        "an own rule": own_by_operator(approver),
        "a release": lambda: AlertRule.objects.filter(key=KEY).update(expression="up == 0"),
    }
    after_planning(monkeypatch, changes[act])
    with pytest.raises(RuleChangedMeanwhile, match="Another operator has changed the rules meanwhile"):
        from_git(content)
    assert not RuleChange.objects.filter(reason="As in git.").exists()


@pytest.mark.django_db(transaction=True)
def test_of_two_imports_at_the_same_instant_the_second_is_refused(
    approver: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content, outcomes, planned = by_hand(exported()), [], threading.Barrier(2)
    after_planning(monkeypatch, planned.wait)
    group_in(content, "operators")["rules"].append(OWN)  # both add it; there is no such group yet
    for number in (1, 2):
        connections_in(content)["for"] = f"{number}m"
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "rules.yml").write_text(as_yaml(content))

    def run(number: int) -> None:
        try:
            import_rules(tmp_path / str(number), actor=approver, reason="As in git.")
            outcomes.append("stored")
        except RuleChangedMeanwhile:
            outcomes.append("refused")
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(number,)) for number in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["refused", "stored"]
    assert sorted(RuleChange.objects.values_list("rule__key", "version")) == [(KEY, 1), ("QueueLong", 1)]


# --- What it costs ---


def with_other_thresholds(many: int) -> Content:
    """The rules as they should run, `many` of them with another threshold."""
    content = exported()
    rules = [rule for group in content["groups"] for rule in group["rules"]]
    chosen = [rule for rule in rules if "threshold" in rule.get("annotations", {})][:many]
    thresholds = [float(rule["annotations"]["threshold"].split()[1]) for rule in chosen]
    changed = put([(rule["expr"], number + 3) for rule, number in zip(chosen, thresholds, strict=True)])
    for rule, with_it in zip(chosen, changed, strict=True):
        rule["expr"] = with_it.expression
    return by_hand(content)


def test_forty_rules_take_as_many_reads_and_processes_as_one(
    from_git: Callable[..., Imported], approver: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert approver.has_perm(TUNE_RULE)  # from here on Django keeps the answer
    processes: list[int] = []
    answers_of_process = reading.answers_of_process

    def counted(questions: list[Any]) -> Any:
        processes.append(len(questions))
        return answers_of_process(questions)

    costs = []
    for many in (1, 40):
        content = with_other_thresholds(many)
        with monkeypatch.context() as patch, CaptureQueriesContext(connection) as queries:
            patch.setattr(reading, "answers_of_process", counted)
            assert len(from_git(content, is_dry=True).steps) == many
        statements = [query["sql"] for query in queries]
        writes = [sql for sql in statements if sql.startswith(("INSERT", "UPDATE", "DELETE"))]
        costs.append((len(statements) - len(writes), len(writes), len(processes)))
        processes.clear()
    reads = costs[0][0]
    assert costs == [(reads, 1, 2), (reads, 40, 2)]


# --- There and back ---


names = st.text("abcxyz_", min_size=1, max_size=6)
seconds = st.none() | st.integers(0, 40_000_000).map(lambda milliseconds: milliseconds / 1000)
numbers = st.floats(-1e9, 1e9) | st.integers(-1000, 1000).map(float)
texts = st.text(min_size=1, max_size=20).filter(lambda text: text.isprintable() and text.strip())
tunings = st.builds(
    Tuning,
    threshold=st.none() | numbers,
    for_seconds=seconds,
    keep_firing_for_seconds=seconds,
    severity=st.sampled_from(["", "critical", "info"]),
    enabled=st.sampled_from([None, None, False]),
    labels=st.none() | st.dictionaries(names.map("more_{}".format), texts, min_size=1, max_size=3),
    runbook_url=st.sampled_from(["", "https://example.com/y?a=b&c='d'"]),
)
own_rules = st.builds(
    Own,
    name=names.map("Own_{}".format),
    expression=numbers.map("max by (job)\n  (queue_length) >= {}".format),
    for_seconds=seconds.map(lambda value: value or 0.0),
    keep_firing_for_seconds=seconds.map(lambda value: value or 0.0),
    severity=st.sampled_from(["critical", "warning"]),
    labels=st.dictionaries(names.map("more_{}".format), texts, max_size=2),
    summary=texts,
    description=st.just("") | texts,
    runbook_url=st.sampled_from(["", "https://example.com/x"]),
)
TUNED = (
    KEY,
    "HighResponseTime",
    "DiskSpaceLow/machine",
    "DiskSpaceLow/machine/2",
    "MoneyStopped",
    "Watchdog",
)


@hypothesis_settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    wanted=st.dictionaries(st.sampled_from(TUNED), tunings, min_size=1),
    mine=st.lists(own_rules, max_size=2, unique_by=lambda rule: rule.name),
)
def test_what_is_exported_is_imported_as_it_was(
    wanted: dict[str, Tuning], mine: list[Own], from_git: Callable[..., Imported], approver: Any
) -> None:
    with transaction.atomic():
        for key, tuning in wanted.items():
            row = shipped(key)
            possible = tuning._replace(threshold=None) if row.threshold is None else tuning
            if without_shipped(row, possible) != NOTHING:
                tune(rule_id=row.pk, tuning=possible, actor=approver, reason="Why.", seen_version=0)
        for rule in mine:
            create_rule(own=rule, actor=approver, reason="Why.")
        before = in_git.export(None)
        RuleChange.objects.all().delete()
        AlertRule.objects.filter(group__name="operators").delete()
        from_git(yaml.load(before, Loader=yaml.CSafeLoader))
        assert in_git.export(None) == before
        transaction.set_rollback(True)


# --- The command ---


def command(*arguments: str, form: str = "--no-color") -> str:
    out = StringIO()
    call_command("alert_rules", form, "import", *arguments, stdout=out)
    return out.getvalue()


@pytest.fixture
def changed(folder: Path, approver: Any) -> list[str]:
    """The arguments of an import that tunes a rule, and adds one."""
    content = by_hand(exported())
    connections_in(content)["expr"] = connections_in(content)["expr"].replace("80", "120")
    group_in(content, "operators")["rules"] = [OWN | {"expr": "queue_length\n  > 100"}]
    (folder / "rules.yml").write_text(as_yaml(content))
    return [str(folder), "--as=Approver@example.com", "--reason=As in git."]


CHANGES = """\
amani_database: DatabaseConnectionIssues/connections: tuned
  threshold: as shipped → > 120
operators: QueueLong: added
  expression: queue_length > 100
  for: 5m
  severity: warning
  label team: x
  summary: The queue is long.
Warning: operators: QueueLong: Prometheus did not answer. Not checked: whether its series exist, whether its \
windows cover several scrapes, how long it takes.
"""


def test_a_dry_run_says_what_would_change_and_stores_nothing(changed: list[str]) -> None:
    assert command(*changed, "--dry-run") == CHANGES + "2 rules would change. Nothing was stored.\n"
    assert not RuleChange.objects.exists()
    assert not RuleGroup.objects.filter(name="operators").exists()


def test_the_command_says_what_changed_and_how_prometheus_gets_it(changed: list[str], settings: Any) -> None:
    settings.ALERT_RULES_FOLDER = "/rules"
    assert command(*changed) == (
        f"{CHANGES}Changed: 2 rules. Publish them on the page Versions of the rules, so that Prometheus has "
        "them.\n"
    )
    assert RuleChange.objects.count() == 2
    assert command(*changed) == "Nothing differs.\n"
    assert not RulesVersion.objects.exists()


def test_the_command_publishes_if_asked_to(changed: list[str], settings: Any, approver: Any) -> None:
    settings.ALERT_RULES_FOLDER = "/rules"
    assert command(*changed, "--publish").endswith(
        "Changed: 2 rules. The worker publishes them as version 1.\n"
    )
    version = RulesVersion.objects.get()
    assert (version.author, version.reason, version.state) == (approver, "As in git.", "waiting")
    assert 'db_connections_active{job="amani"}) > 120' in version.files["amani.yml"]
    assert command(*changed, "--publish") == "Nothing differs.\n"
    assert RulesVersion.objects.count() == 1


def test_what_cannot_be_published_is_not_stored_either(changed: list[str], settings: Any) -> None:
    settings.ALERT_RULES_FOLDER = ""
    with pytest.raises(CommandError, match="Amani publishes no rules here"):
        command(*changed, "--publish")
    assert not RuleChange.objects.exists()
    assert command(*changed).endswith(
        "Amani publishes no rules here: give Prometheus the file that `alert_rules export` prints.\n"
    )


def test_programs_get_one_document(changed: list[str]) -> None:
    said = json.loads(command(*changed, "--dry-run", form="--json"))
    assert (said["stored"], said["version"], len(said["warnings"])) == (False, None, 1)
    assert said["changes"][0] == {
        "group": "amani_database",
        "rule": KEY,
        "what": "tuned",
        "differences": [{"what": "threshold", "before": "as shipped", "after": "> 120"}],
    }


def test_the_command_names_each_difference_and_fails(changed: list[str], folder: Path) -> None:
    file = folder / "rules.yml"
    file.write_text(file.read_text().replace("summary: The queue is long.", "nothing: x"))
    out = StringIO()
    with pytest.raises(
        CommandError, match=r"^The rules cannot become those of the files\. Nothing was stored\.$"
    ):
        call_command("alert_rules", "import", *changed, stdout=out)
    assert out.getvalue() == f"operators: QueueLong: {NO_SUMMARY}\n"
    with pytest.raises(CommandError):
        call_command("alert_rules", "--json", "import", *changed, stdout=(out := StringIO()))
    problem = f"operators: QueueLong: {NO_SUMMARY}"
    assert json.loads(out.getvalue()) == {"stored": False, "problems": [problem]}
    assert not RuleChange.objects.exists()


def test_the_command_needs_a_user_who_may_tune(changed: list[str], operator: Callable[..., Any]) -> None:
    operator("viewer")
    folder, _, reason = changed
    with pytest.raises(CommandError, match="No user has the address eve@example"):
        command(folder, "--as=eve@example.com", reason)
    with pytest.raises(
        CommandError, match=r"viewer@example\.com may not change alert rules: an approver may"
    ):
        command(folder, "--as=viewer@example.com", reason)
    with pytest.raises(CommandError, match="Say why"):
        command(folder, "--as=approver@example.com", "--reason= ")
