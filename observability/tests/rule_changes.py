"""Shipped rules, own rules and changes of them, for tests."""

from __future__ import annotations

from typing import Any

from observability.models import AlertRule, RuleChange, RuleGroup
from observability.models.rules import OPERATORS


def shipped(key: str = "HighErrorRate") -> AlertRule:
    return AlertRule.objects.select_related("group").get(key=key)


def change(rule: AlertRule, **values: Any) -> RuleChange:
    """Stores a change with the next version."""
    version = RuleChange.objects.filter(rule=rule).count() + 1
    values = {"kind": "tuned", "reason": "Too many pages.", "base": rule.base} | values
    return RuleChange.objects.create(rule=rule, version=version, **values)


def own(name: str = "QueueLong", **values: Any) -> AlertRule:
    group, _ = RuleGroup.objects.get_or_create(name=OPERATORS, defaults={"file": "operators.yml"})
    split = {"series": "queue_length", "comparison": ">", "threshold": 100}
    values = {"position": 0, "kind": "alert", "expression": "queue_length > 100", **split} | values
    return AlertRule.objects.create(group=group, key=name, name=name, **values)
