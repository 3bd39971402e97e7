"""What the rule, routing and runbook files say, read once for the tests that compare them."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

ROOT = Path(__file__).resolve().parent.parent
PROMETHEUS = ROOT / "deploy" / "prometheus"
RULES = PROMETHEUS / "rules"
ALERTMANAGER = ROOT / "deploy" / "alertmanager" / "alertmanager.yml"
RUNBOOKS = ROOT / "docs" / "runbooks"

STRING = re.compile(r'"[^"]*"')
SELECTOR = re.compile(r"([a-zA-Z_:][\w:]*)\s*\{([^}]*)\}")
MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')
GROUPING = re.compile(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)")
IDENTIFIER = re.compile(r"(?<![\w.:])([a-zA-Z_:][\w:]*)(?!\s*\()(?![\w:])")
OPERATORS = {"and", "or", "unless", "offset", "bool"}


class Matcher(NamedTuple):
    metric: str
    label: str
    operator: str
    value: str


class Query(NamedTuple):
    metrics: set[str]
    matchers: list[Matcher]
    grouping: set[str]


def load(path: Path) -> Any:
    return yaml.load(path.read_text(), yaml.CSafeLoader)  # ten times as quick as that in Python


def rules() -> list[dict[str, Any]]:
    groups = [group for file in sorted(RULES.glob("*.yml")) for group in load(file)["groups"]]
    return [rule for group in groups for rule in group["rules"]]


def alerts() -> list[dict[str, Any]]:
    return [rule for rule in rules() if "alert" in rule]


def documented_queries() -> Iterator[tuple[str, str]]:
    """(page, query) for every ```promql block of the documents."""
    for page in [ROOT / "docs" / "metrics.md", *sorted(RUNBOOKS.glob("*.md"))]:
        for block in re.findall(r"```promql\n(.*?)```", page.read_text(), flags=re.DOTALL):
            yield page.name, block.strip()


def parse_query(expression: str) -> Query:
    """The metrics, label matchers and grouping labels of a PromQL expression of the kind used here."""
    matchers = [
        Matcher(metric, *matcher)
        for metric, selector in SELECTOR.findall(expression)
        for matcher in MATCHER.findall(selector)
    ]
    bare = STRING.sub("", expression)
    grouping = {label for labels in GROUPING.findall(bare) for label in re.findall(r"\w+", labels)}
    for noise in (r"\{[^}]*\}", r"\[[^\]]*\]", GROUPING.pattern):
        bare = re.sub(noise, " ", bare)
    metrics = {name for name in IDENTIFIER.findall(bare) if name not in OPERATORS}
    return Query(metrics, matchers, grouping)
