"""Expressions: split at their threshold, given another, refused before they end the parser, judged."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from observability.rules.expressions import reading
from observability.rules.expressions.judging import Verdict, judge
from observability.rules.expressions.reading import ENDED, Changed, Split, put, read
from observability.rules.expressions.scanning import TooComplex, is_same_text, require_readable, tokens
from observability.rules.files import SHIPPED, read_groups
from observability.tests.prometheus_stand_in import PrometheusStandIn, success
from observability.tests.vendors import Reply

BY_JOB = "sum by (job) (rate(a_total[5m]))"
SPLITS = {
    "a > 5": Split("a", ">", 5),
    "a{x='> 7'} >= 0.5 # > 7": Split("a{x='> 7'}", ">=", 0.5),
    f"{BY_JOB} / 2 < 1e-3": Split(f"{BY_JOB} / 2", "<", 0.001),
    "a > 1024 * 1024 * 1024": Split("a", ">", 1024**3),
    "a > (5 * 60)": Split("a", ">", 300),
    "a > 5m": Split("a", ">", 300),
    "a == -1": Split("a", "==", -1),
    "5 < sum(a)": Split("sum(a{})", ">", 5),
    "a > 5 and b > 5": Split("a", ">", 5, ("and b{} > 5",)),
    "a > 5 and on (job) b unless c == 1": Split("a", ">", 5, ("and on (job) b{}", "unless c{} == 1")),
    "(time() - a > 60 or absent(a)) and b": Split("time() - a", ">", 60, ("or absent(a{})", "and b{}")),
    "a\n  != 0": Split("a", "!=", 0),
    '{"strange.name"} > 1': Split('{"strange.name"}', ">", 1),
}
UNSPLIT = {
    "vector(1)": "it compares nothing with a number",
    "a and b > 5": "it compares nothing with a number",
    "a > 1 or b > 2": "its conditions are joined by `or`, each with a threshold of its own",
    "a > b": "it compares two series",
    "a > bool 1": "it compares with `bool`, so it returns 0 or 1 instead of leaving series out",
    "a > 1 / 0": "its threshold is not a finite number",
    "1 > bool 2": "it compares with `bool`, so it returns 0 or 1 instead of leaving series out",
    "rate(a[5m] smoothed) > 1": "promql-parser does not know it: invalid promql query",
    "a >": "promql-parser does not know it: invalid promql query",
    "+".join(["up"] * 300): "it has 299 operators, brackets and commas; at most 200 are read",
    "up" * 1_001: "it has 2,002 characters; at most 2,000 are read",
    "(" * 20_000 + "up" + ")" * 20_000: "it has 40,002 characters; at most 2,000 are read",
}


def test_an_expression_is_split_at_the_number_that_decides() -> None:
    found = read(list(SPLITS))
    assert {each.expression: each.split for each in found} == SPLITS
    assert {each.reason for each in found} == {""}


@pytest.mark.parametrize(
    ("other", "is_same"),
    [
        ("sum  (a{b='c'}) # all\n > 0.50", True),
        ("sum(a{b='c'})>5e-1", True),
        ("sum(a{b='c '}) > 0.5", False),
        ("sum(a{b='c'}) >= 0.5", False),
        ("sum(a{b='c'}) > 0.5 * 1", False),
        ("sum(a{b='c'})", False),
        ("su m(a{b='c'}) > 0.5", False),
    ],
)
def test_space_comments_and_the_writing_of_numbers_make_no_other_expression(
    other: str, is_same: bool
) -> None:
    assert is_same_text("sum(a{b='c'}) > 0.5", other) is is_same
    assert is_same_text(other, "sum(a{b='c'}) > 0.5") is is_same


def test_what_has_no_single_threshold_says_why() -> None:
    found = read(list(UNSPLIT))
    assert {each.expression: each.reason for each in found} == UNSPLIT
    assert {each.split for each in found} == {None}


@pytest.mark.parametrize("threshold", [77.25, -3, 0, 1e-9])
def test_another_threshold_leaves_the_rest_of_the_text_as_it_is(threshold: float) -> None:
    split = {expression: found for expression, found in SPLITS.items() if found.threshold != threshold}
    changed = put([(expression, threshold) for expression in split])
    again = read([each.expression for each in changed])
    text = {77.25: "77.25", -3: "-3", 0: "0", 1e-9: "1e-09"}[threshold]
    for expression, each in zip(split, again, strict=True):
        assert each.split is not None
        assert each.split._replace(threshold=split[expression].threshold) == split[expression]
        assert each.split.threshold == threshold
        before, _, after = each.expression.partition(text)
        assert expression.startswith(before)
        assert expression.endswith(after)


def test_only_the_number_that_decides_is_replaced() -> None:
    expressions = [
        "a > 5 and b > 5",
        "5 * a > 5 # 5",
        "a{x='5'} > 5 * 2",
        "a[5m:5s] > 5",
        "(a > 5) unless 5 < b",
    ]
    [*found, refused] = put([(each, 6) for each in [*expressions[:3], expressions[4], expressions[3]]])
    assert [each.expression for each in found] == [
        "a > 6 and b > 5",
        "5 * a > 6 # 5",
        "a{x='5'} > 6",
        "(a > 6) unless 5 < b",
    ]
    assert refused.expression == ""
    assert "promql-parser does not know it" in refused.reason
    assert put([("vector(1)", 1)]) == [Changed("", "it compares nothing with a number")]


def test_every_shipped_expression_is_split_or_has_several_thresholds() -> None:
    rules = [rule for group in read_groups(SHIPPED) for rule in group.rules if rule.kind == "alert"]
    found = read([rule.expression for rule in rules])
    assert {each.reason for each in found} == {
        "",
        "it compares nothing with a number",
        "it compares two series",
        "its conditions are joined by `or`, each with a threshold of its own",
    }
    assert [rule.name for rule, each in zip(rules, found, strict=True) if "nothing" in each.reason] == [
        "Watchdog"
    ]


def test_an_expression_that_ends_the_parser_costs_the_others_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without the caps, which this takes away, it needs more time than the process may use."""
    hostile = "(" * 20_000 + "up" + ")" * 20_000
    monkeypatch.setattr(reading, "refusal", lambda expression: "")
    program = (
        "from observability.rules.expressions import child, scanning; child.CPU_SECONDS = 1;"
        "scanning.MOST_CHARACTERS = scanning.MOST_OPERATORS = 10**6; child.main()"
    )
    monkeypatch.setattr(reading, "COMMAND", [*reading.COMMAND[:3], "-c", program])
    good, bad = read(["a > 5", hostile])
    assert good.split == Split("a", ">", 5)
    assert (bad.split, bad.reason) == (None, ENDED)


def test_a_parser_that_takes_too_long_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "TOTAL_SECONDS", 0.01)
    assert read(["a > 5"])[0].reason == ENDED


def test_tokens_are_found_without_space_and_comments() -> None:
    texts = [token.text for token in tokens('a{x=~"\\"#"} >= 1e-3*0x1e-3 #c\n and b[5m] == .5 or \'q')]
    assert texts == [
        *["a", "{", "x", "=~", '"\\"#"', "}", ">=", "1e-3", "*", "0x1e", "-", "3"],
        *["and", "b", "[", "5m", "]", "==", ".5", "or", "'q"],
    ]


def test_what_is_in_strings_is_no_operator() -> None:
    require_readable('up{a="' + "(" * 1_900 + '"} > 1')
    with pytest.raises(TooComplex, match="it has 201 operators"):
        require_readable("up" + "+up" * 201)


# --- Prometheus is the judge ---


@pytest.fixture
def prometheus(settings: Any) -> Iterator[PrometheusStandIn]:
    stand_in = PrometheusStandIn()
    settings.PROMETHEUS_URL = stand_in.url
    yield stand_in
    stand_in.close()


def test_prometheus_says_whether_an_expression_is_valid(prometheus: PrometheusStandIn) -> None:
    prometheus.replies["format_query"] = success("up > 5")
    assert judge("up>5") == Verdict(True)
    assert prometheus.asked == [("format_query", {"query": "up>5"})]
    error = "1:5: parse error: unexpected end of input"
    prometheus.replies["format_query"] = Reply(400, body=f'{{"status": "error", "error": "{error}"}}')
    assert judge("up >") == Verdict(False, error)


@pytest.mark.parametrize(
    "reply", [Reply(503), Reply(200, body="[]"), Reply(400, body="x"), Reply(reset=True)]
)
def test_without_an_answer_of_prometheus_validity_is_not_known(
    prometheus: PrometheusStandIn, reply: Reply
) -> None:
    prometheus.replies["format_query"] = reply
    assert judge("up > 5") == Verdict(None)
