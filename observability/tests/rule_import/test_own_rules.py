"""Importing rule files: the own rules become those of the group `operators`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from observability.models import AlertRule, RuleChange
from observability.rules.importing import Imported
from observability.rules.own import Own, own_of
from observability.tests.prometheus_stand_in import PrometheusStandIn
from observability.tests.rule_import.content import OWN, exported, group_in, summary

pytestmark = pytest.mark.django_db


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
