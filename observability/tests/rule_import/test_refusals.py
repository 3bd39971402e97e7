"""Importing rule files: what cannot be imported is named, and nothing is stored."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from observability.alerts.errors import CannotImport, MayNotTune, ReasonMissing, RuleFileWrong
from observability.models import AlertRule, RuleChange, RuleGroup
from observability.rules.importing import Imported, agreement
from observability.tests.prometheus_stand_in import PrometheusStandIn
from observability.tests.rule_changes import shipped
from observability.tests.rule_import.content import (
    COMPARES_NOTHING,
    CONNECTIONS,
    DOWN,
    KEY,
    NO_SUMMARY,
    OWN,
    Content,
    by_hand,
    differs,
    exported,
    group_in,
    rule_in,
    without,
)
from observability.tests.vendors import Reply

pytestmark = pytest.mark.django_db


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
