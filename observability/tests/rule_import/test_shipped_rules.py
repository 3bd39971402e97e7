"""Importing rule files: shipped rules get the tuning that makes them those of the files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from observability.alerts.errors import CannotImport
from observability.models import RuleChange
from observability.roles import TUNE_RULE
from observability.rules.expressions import reading
from observability.rules.expressions.reading import put
from observability.rules.files import SHIPPED
from observability.rules.importing import Imported, agreement
from observability.rules.tuning import NOTHING, Tuning, tuning_of
from observability.tests.rule_changes import change, own, shipped
from observability.tests.rule_import.content import (
    KEY,
    Content,
    as_yaml,
    by_hand,
    connections_in,
    differs,
    exported,
    group_in,
    newest,
    rule_in,
    summary,
    without,
)

pytestmark = pytest.mark.django_db


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


# --- Tuning ---


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
