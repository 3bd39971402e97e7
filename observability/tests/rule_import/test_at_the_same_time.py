"""Importing rule files while others change the rules."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from observability.alerts.errors import RuleChangedMeanwhile
from observability.models import AlertRule, RuleChange
from observability.rules.importing import Imported, import_rules, storing
from observability.rules.own import Own, create_rule
from observability.rules.tuning import Tuning, tune
from observability.tests.rule_changes import shipped
from observability.tests.rule_import.content import (
    KEY,
    OWN,
    as_yaml,
    by_hand,
    connections_in,
    exported,
    group_in,
)

pytestmark = pytest.mark.django_db


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
