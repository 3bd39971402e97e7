"""Lints of an expression: what its text says, and what Prometheus says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.test import Client
from django.urls import reverse

from observability.models import AlertRule
from observability.rules.expressions import lints
from observability.rules.expressions.lints import Level, Lint, lint
from observability.tests.prometheus_stand_in import success
from observability.tests.rule_changes import shipped
from observability.tests.stand_in import StandIn
from observability.tests.vendors import Reply, write

RATE = "sum by (job) (rate(a_total[5m])) > 5"


class Prometheus(StandIn):
    """Has `series` of each selector, one by default, and targets that are scraped every 5 and 15 s."""

    def __init__(self) -> None:
        self.series: dict[str, int] = {}
        self.away: set[str] = set()
        self.targets: list[dict[str, str]] = [{"scrapeInterval": "5s"}, {"scrapeInterval": "15s"}]
        super().__init__()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(handler.path)
        name, query = parts.path.rpartition("/")[2], parse_qs(parts.query).get("query", [""])[0]
        write(handler, Reply(503) if name in self.away else success(self.data(name, query)))

    def data(self, name: str, query: str) -> Any:
        if name == "targets":
            return {"activeTargets": self.targets}
        number = self.series.get(query.removeprefix("count(").removesuffix(")"), 1)
        return {"result": [{"metric": {}, "value": [1, str(number)]}] if number else []}


@pytest.fixture(autouse=True)
def prometheus(settings: Any) -> Iterator[Prometheus]:
    stand_in = Prometheus()
    settings.PROMETHEUS_URL = f"http://{stand_in.address}"
    yield stand_in
    stand_in.close()


def texts(expression: str, *templates: str) -> list[tuple[str, str]]:
    return [(found.level.value, found.text) for found in lint(expression, templates)]


def test_a_rule_without_fault_has_no_findings() -> None:
    assert texts(RATE, "{{ $value }} on {{ $labels.job }}") == []


@pytest.mark.parametrize("expression", ["absent(up)", "vector(1)", "up == 0 unless b", "a and b > 5"])
def test_what_compares_or_watches_absence_is_fine(expression: str) -> None:
    assert texts(expression) == []


def test_an_expression_that_compares_nothing_is_an_error() -> None:
    text = "It compares nothing: without a comparison or absent() it fires for every series it finds."
    assert texts("sum(queue_length)") == [("error", text)]


@pytest.mark.parametrize(
    ("expression", "is_bare"),
    [
        ("a_total > 5", True),
        ("sum(a_bucket) > 5", True),
        ("increase(a_total[5m]) > 5", False),
        ("absent(a_total)", False),
        ("count(a_total) > 5", False),
        ("queue_length > 5", False),
    ],
)
def test_a_counter_needs_a_rate(expression: str, is_bare: bool) -> None:
    assert [text.partition(" looks like a counter")[1] != "" for _, text in texts(expression)] == [
        True
    ] * is_bare


@pytest.mark.parametrize(
    ("expression", "missing"),
    [
        (RATE, ["instance"]),
        ("sum(a) > 5", ["instance", "job"]),
        ("a > 5", []),
        ("a / on (job) b > 5", ["instance"]),
        ("a / on (job) group_left b > 5", []),
        ('absent(a{job="x", instance=~"y"})', ["instance"]),
        ("histogram_quantile(0.9, sum by (job, le) (rate(a_bucket[5m]))) > 1", ["instance"]),
        ("sum by (job) (a) > 1 or sum by (instance) (a) > 2", []),
        ("topk(3, a) > 1", []),
        ("sum without (job) (a) > 1", []),
        ('label_replace(sum(a), "job", "x", "", "") > 1', []),
    ],
)
def test_a_label_of_a_text_is_one_of_the_result(expression: str, missing: list[str]) -> None:
    found = texts(expression, "{{ $labels.job }}", "{{ $labels.instance }}")
    assert [text.split()[3].removeprefix("$labels.").rstrip(".") for _, text in found] == missing
    assert {level for level, _ in found} <= {"error"}


def test_labels_of_another_query_in_a_text_are_not_meant() -> None:
    assert texts("sum(a) > 5", "{{ range query `b` }}{{ .Labels.dependency }}{{ end }}") == []


# --- What Prometheus says ---


def test_series_that_prometheus_does_not_have_are_a_warning(prometheus: Prometheus) -> None:
    prometheus.series['a{job="x"}'] = 0
    assert texts('a{job="x"} > 5 and b') == [
        ("warning", 'Prometheus has no series a{job="x"} now. Check its name and labels.')
    ]


def test_too_many_series_and_a_slow_query_are_warnings(
    prometheus: Prometheus, monkeypatch: pytest.MonkeyPatch
) -> None:
    prometheus.series["a{}"] = 20_000
    monkeypatch.setattr(lints, "SLOW_SECONDS", 0.0)
    [many, slow] = texts("a > 5")
    assert many == ("warning", "a{} are 20,000 series, read at every evaluation: more than 10,000.")
    assert slow[1].startswith("It took 0.")


@pytest.mark.parametrize(
    ("window", "found"),
    [
        ("60s", []),
        (
            "45s",
            [("warning", "The window of 45 s covers 3 scrapes of 15 s; with 4 it survives a missed one.")],
        ),
        ("20s", [("error", "The window of 20 s covers 1.3 scrapes of 15 s; rate() and increase() need 2.")]),
    ],
)
def test_a_window_covers_several_scrapes(window: str, found: list[tuple[str, str]]) -> None:
    assert texts(f"rate(a_total[{window}]) > 5") == found


@pytest.mark.parametrize(
    ("away", "unchecked"),
    [
        ("query", "whether its series exist, whether its windows cover several scrapes, how long it takes"),
        ("targets", "whether its windows cover several scrapes, how long it takes"),
    ],
)
def test_without_prometheus_a_warning_says_what_was_not_checked(
    prometheus: Prometheus, away: str, unchecked: str
) -> None:
    prometheus.away = {away}
    assert texts(RATE) == [("warning", f"Prometheus did not answer. Not checked: {unchecked}.")]


def test_without_targets_the_scrapes_are_not_known(prometheus: Prometheus) -> None:
    prometheus.targets = []
    assert "Not checked: whether its windows" in texts(RATE)[0][1]


def test_what_the_parser_does_not_know_is_a_warning() -> None:
    assert texts("rate(a[5m] smoothed) > 1") == [
        (
            "warning",
            "Only Prometheus's parser has checked it: promql-parser does not know it: invalid promql query.",
        )
    ]


# --- In the admin ---


@pytest.mark.django_db
def test_an_error_keeps_an_own_rule_from_being_saved_and_a_warning_is_shown(
    sign_in: Callable[..., Client], prometheus: Prometheus
) -> None:
    client = sign_in("approver")
    url = reverse("admin:observability_alertrule_create")
    form = {"name": "A", "severity": "info", "summary": "A", "reason": "Why.", "seen": "0"}
    refused = client.post(url, form | {"expression": "sum(a)", "confirmed": "yes"})
    assert "It compares nothing" in refused.context["form"].errors["expression"][0]
    label = form | {"expression": "sum(a) > 1", "description": "{{ $labels.job }}", "confirmed": "yes"}
    assert list(client.post(url, label).context["form"].errors) == ["description"]
    assert not AlertRule.objects.filter(name="A").exists()
    prometheus.series["a{}"] = 0
    warned = client.post(url, form | {"expression": "a > 1"})
    warning = Lint(
        Level.WARNING, "expression", "Prometheus has no series a{} now. Check its name and labels."
    )
    assert warned.context["lints"] == [warning]
    assert "Prometheus has no series a{} now." in warned.content.decode()
    assert client.post(url, form | {"expression": "a > 1", "confirmed": "yes"}).status_code == 303


@pytest.mark.django_db
def test_a_shipped_rule_is_linted_when_its_expression_changes(
    sign_in: Callable[..., Client], prometheus: Prometheus
) -> None:
    prometheus.away = {"query"}
    client, row = sign_in("approver"), shipped("DatabaseConnectionIssues/connections")
    url = reverse("admin:observability_alertrule_tune", args=[row.pk])
    form = {"reason": "Why.", "seen": "0"}
    [found] = client.post(url, form | {"threshold": "90"}).context["lints"]
    assert found.text.startswith("Prometheus did not answer.")
    assert client.post(url, form | {"state": "disabled"}).context["lints"] == []
