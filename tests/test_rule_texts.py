"""A number in the text of an alert is one of those that its rule uses."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.rule_files import alerts, parse_query, rules

RECORDED: dict[str, list[dict[str, Any]]] = {}
for rule in rules():
    if "record" in rule:
        RECORDED.setdefault(rule["record"], []).append(rule)

DURATION = re.compile(r"\b(\d+)(ms|[smhdw])\b")
SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
STRING = re.compile(r'"[^"]*"')
BOUND = re.compile(r'\ble="([\d.]+)"')
NUMBER = r"\d+(?:\.\d+)?(?:e[+-]?\d+)?"
ALONE = re.compile(rf"(?<![\w.:]){NUMBER}(?![\w.:])")
PRODUCT = re.compile(rf"(?<![\w.:]){NUMBER}(?: \* {NUMBER})+(?![\w.:])")

UNITS = {
    r"%": 0.01,
    r"GiB": 1024**3,
    r"MiB": 1024**2,
    r"ms|milliseconds?": 0.001,
    r"s|seconds?": 1,
    r"m|min|minutes?": 60,
    r"h|hours?": 3600,
    r"days?|d": 86_400,
    r"weeks?": 604_800,
    r"": 1,
}
WITH_UNIT = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?) ?(%|[A-Za-z]+\b|)")
WORDS = {
    "half": 0.5,
    "two": 2,
    "three": 3,
    "four": 4,
    "five": 5,
    "ten": 10,
    "a minute": 60,
    "an hour": 3600,
    "a day": 86_400,
    "a week": 604_800,
    "in twenty": 0.05,
    "p95": 0.95,
}
WORD = re.compile(rf"\b({'|'.join(WORDS)})\b", re.IGNORECASE)


def numbers_of_rule(rule: dict[str, Any]) -> set[float]:
    """The numbers of a rule in seconds, bytes and shares: limits, windows, `for`, bounds of histograms.

    A share may be told from its other end: 0.95 is also 0.05. What the expression takes from recorded series
    belongs to it.
    """
    found = numbers_of_expression(rule["expr"]) | durations(rule.get("for", ""))
    for recorded in recorded_for(rule["expr"]):
        found |= numbers_of_expression(recorded)
    return {rounded(number) for number in found | {1 - number for number in found if 0 < number < 1}}


def numbers_of_expression(expression: str) -> set[float]:
    found = {float(bound) for bound in BOUND.findall(expression)} | durations(expression)
    bare = STRING.sub("", expression)
    for product in PRODUCT.findall(bare):
        value = 1.0
        for factor in product.split(" * "):
            value *= float(factor)
        found.add(value)
    return found | {float(number) for number in ALONE.findall(bare)}


def durations(text: str) -> set[float]:
    return {int(number) * SECONDS[unit] for number, unit in DURATION.findall(text)}


def recorded_for(expression: str) -> Iterator[str]:
    """The expressions of the recorded series that an expression takes, and of those that these take."""
    objectives = {matcher.value for matcher in parse_query(expression).matchers if matcher.label == "slo"}
    waiting = [expression]
    seen: set[str] = set()
    while waiting:
        for name in parse_query(waiting.pop()).metrics & set(RECORDED) - seen:
            seen.add(name)
            wanted = [
                rule["expr"]
                for rule in RECORDED[name]
                if not objectives or rule.get("labels", {}).get("slo", "") in {"", *objectives}
            ]
            waiting += wanted
            yield from wanted


def numbers_of_text(text: str) -> dict[str, float]:
    """The numbers of a text by how they are written, in seconds, bytes and shares."""
    bare = re.sub(r"\{\{.*?\}\}|`[^`]*`|\]\([^)]*\)|\b5xx\b", " ", text, flags=re.DOTALL)
    found = {}
    for match in WITH_UNIT.finditer(bare):
        unit = next((unit for unit in UNITS if re.fullmatch(unit, match[2])), "")
        written = match[0] if unit else match[1]
        found[written] = rounded(float(match[1]) * UNITS[unit])
    return found | {word: WORDS[word.lower()] for word in WORD.findall(bare)}


def rounded(number: float) -> float:
    return float(f"{number:.9g}")


def strangers(text: str, known: set[float]) -> dict[str, float]:
    return {written: value for written, value in numbers_of_text(text).items() if value not in known}


@pytest.mark.parametrize(
    "alert", alerts(), ids=lambda alert: f"{alert['alert']}-{alert['labels'].get('scope', '')}"
)
def test_a_number_in_the_text_of_an_alert_is_one_that_its_rule_uses(alert: dict[str, Any]) -> None:
    for name in ("summary", "description"):
        assert strangers(alert["annotations"][name], numbers_of_rule(alert)) == {}


def test_numbers_are_compared_in_seconds_bytes_and_shares() -> None:
    rule = {"expr": 'a{x="7"} > 1024 * 1024 * 1024 and b{le="2.0"} > 0.95 or c[5m] >= 20', "for": "1m"}
    right = "5% of 1GiB, one in twenty, 2s, 5 minutes or 300s, a minute, {{ 77 }}, `99`, 5xx"
    assert strangers(right, numbers_of_rule(rule)) == {}
    wrong = {"6%": 0.06, "7": 7, "an hour": 3600}
    assert strangers("limit 6% of 7 in an hour", numbers_of_rule(rule)) == wrong
