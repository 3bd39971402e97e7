"""Rule files to import: what they hold, and how the tests change it."""

from __future__ import annotations

from typing import Any

import yaml

from observability.models import RuleChange
from observability.rules.importing import Imported
from observability.rules.publication import in_git

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
