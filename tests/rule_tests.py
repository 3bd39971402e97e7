"""The promtool tests of the rules, case by case, each with only the rules that it is about.

promtool evaluates all rules that a file names in each step of each case, which takes ten times as long.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from tests.rule_files import load

Group = dict[str, Any]


def write_cases(file: Path, folder: Path) -> list[Path]:
    """Writes each case of a promtool file into a file of its own in `folder`, and its rules beside it."""
    whole = load(file)
    groups = [group for name in whole["rule_files"] for group in load(file.parent / name)["groups"]]
    written = []
    for number, case in enumerate(whole["tests"]):
        rules = folder / f"{file.stem}-{number}-rules.yml"
        rules.write_text(yaml.dump({"groups": needed(groups, case)}, Dumper=yaml.CSafeDumper))
        alone = whole | {"rule_files": [rules.name], "tests": [case]}
        written.append(folder / f"{file.stem}-{number}.yml")
        written[-1].write_text(yaml.dump(alone, Dumper=yaml.CSafeDumper))
    return written


def needed(groups: list[Group], case: dict[str, Any]) -> list[Group]:
    """The groups with the alerts and queries of a case, and whatever these read of other rules."""
    alerts = {check["alertname"] for check in case.get("alert_rule_test", [])}
    asked = [check["expr"] for check in case.get("promql_expr_test", [])]
    chosen: list[dict[str, Any]] = []
    while True:
        words = set(re.findall(r"[\w:]+", f"{asked} {chosen}"))  # texts have queries, too
        found = [rule for group in groups for rule in group["rules"] if is_needed(rule, alerts, words)]
        if found == chosen:
            break
        chosen = found
    return [
        group | {"rules": rules}
        for group in groups
        if (rules := [rule for rule in group["rules"] if rule in chosen])
    ]


def is_needed(rule: dict[str, Any], alerts: set[str], words: set[str]) -> bool:
    """`words`: those of the queries; ALERTS is the series of all alerts."""
    if "alert" in rule:
        return rule["alert"] in alerts or bool({"ALERTS", "ALERTS_FOR_STATE"} & words)
    return rule["record"] in words
