"""Sampled requests from Prometheus: which are shown, and what happens when it is down, slow or hostile."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pytest_django import Settings

from local.ports import find_free_port
from observability.admin.cause import samples
from observability.admin.cause.questions import SLOW_ONLY, Place, quoted
from observability.admin.cause.subject import Kind, Subject
from observability.alerts import monitoring
from observability.alerts.prometheus import MOST_BYTES
from observability.telemetry.secrets import configured_secrets
from observability.tests.prometheus_stand_in import PrometheusStandIn, exemplar, series, success
from observability.tests.vendors import Reply
from observability.tests.waiting import ANSWER_SECONDS

START = datetime(2026, 3, 4, 2, 0, tzinfo=UTC)
AT = START.timestamp() + 60
IDS = [f"{number:032x}" for number in range(1, 30)]


@pytest.fixture
def prometheus(settings: Settings) -> Iterator[PrometheusStandIn]:
    stand_in = PrometheusStandIn()
    settings.PROMETHEUS_URL = stand_in.url
    yield stand_in
    stand_in.close()


def look(subject: Subject, budget_seconds: float = ANSWER_SECONDS) -> samples.Found:
    """As the page asks, with time for a busy machine."""
    return samples.look(subject, budget_seconds)


def about(kind: Kind = Kind.REQUESTS, **changes: Any) -> Subject:
    values: dict[str, Any] = {"about_errors": False, "start": START, "end": START + timedelta(minutes=10)}
    return Subject(kind=kind, **values | changes)


def test_the_slowest_come_first_each_trace_once(prometheus: PrometheusStandIn) -> None:
    prometheus.replies["query_exemplars"] = success(
        [
            series(
                exemplar(IDS[0], "0.3", AT, request_id="a" * 32),
                exemplar(IDS[1], "4.5", AT + 1),
                method="GET",
                endpoint="/x",
                le="5.0",
            ),
            series(exemplar(IDS[1], "4.5", AT + 1), exemplar(IDS[2], 1.25, AT), endpoint="/y", le="+Inf"),
        ]
    )
    found = look(about(endpoint="/x"))
    assert found.problem == ""
    assert [(sample.trace_id, sample.seconds) for sample in found.samples] == [
        (IDS[1], 4.5),
        (IDS[2], 1.25),
        (IDS[0], 0.3),
    ]
    slow = found.samples[2]
    assert (slow.request_id, slow.name, slow.ended) == ("a" * 32, "GET /x", "")
    assert slow.at == datetime.fromtimestamp(AT, UTC)


def test_an_alert_about_errors_shows_the_newest_first_and_how_each_ended(
    prometheus: PrometheusStandIn,
) -> None:
    prometheus.replies["query_exemplars"] = success(
        [
            series(exemplar(IDS[0], 1, AT + 1), exemplar(IDS[1], 1, AT + 9), status="500", endpoint="/x"),
            series(exemplar(IDS[2], 1, AT + 2), outcome="failure", task="a.b"),
            series(exemplar(IDS[3], 1, AT + 8), outcome="rejected", channel="slack"),
        ]
    )
    found = look(about(endpoint="/x", about_errors=True))
    assert [(one.trace_id, one.ended, one.seconds, one.name) for one in found.samples] == [
        (IDS[1], "500", None, "/x"),
        (IDS[3], "rejected", None, "slack"),
        (IDS[2], "failure", None, "a.b"),
        (IDS[0], "500", None, "/x"),
    ]


def test_at_most_six_are_shown(prometheus: PrometheusStandIn) -> None:
    prometheus.replies["query_exemplars"] = success([series(*(exemplar(i, 1, AT) for i in IDS))])
    assert len(look(about(endpoint="/x")).samples) == 6


def test_the_endpoint_of_the_alert_is_asked_for(prometheus: PrometheusStandIn) -> None:
    look(about(endpoint='/x"} or vector(1) #\\', method="POST", job="amani"))
    [(name, parameters)] = prometheus.asked
    assert name == "query_exemplars"
    assert parameters == {
        "query": (
            'http_request_duration_seconds_bucket{job="amani", method="POST", '
            r'endpoint="/x\"} or vector(1) #\\", le=~"0\\.(1|25|5)|[1-9].*|\\+Inf"}'
        ),
        "start": f"{START.timestamp():.3f}",
        "end": f"{START.timestamp() + 600:.3f}",
    }


@pytest.mark.parametrize(
    ("subject", "query"),
    [
        (
            about(Kind.QUERIES, operation="SELECT"),
            'db_query_duration_seconds_bucket{operation="SELECT", ' + SLOW_ONLY + "}",
        ),
        (about(Kind.TASKS), "amani_celery_task_duration_seconds_bucket{}"),
        (about(Kind.TASKS, task="a.b"), 'amani_celery_task_duration_seconds_bucket{task="a.b"}'),
        (about(Kind.DELIVERIES, channel="slack"), "amani_celery_task_duration_seconds_bucket{}"),
    ],
)
def test_each_kind_of_alert_about_slowness_asks_its_own_histogram(
    prometheus: PrometheusStandIn, subject: Subject, query: str
) -> None:
    look(subject)
    assert [parameters["query"] for _, parameters in prometheus.asked] == [query]


@pytest.mark.parametrize(
    ("subject", "query"),
    [
        (
            about(about_errors=True, endpoint="/x", method="PUT", job="amani"),
            'http_requests_total{job="amani", method="PUT", endpoint="/x", status=~"5.."}',
        ),
        (
            about(Kind.TASKS, about_errors=True, task="a.b", job="amani"),
            'amani_celery_tasks_total{job="amani", task="a.b", outcome="failure"}',
        ),
        (about(Kind.TASKS, about_errors=True), 'amani_celery_tasks_total{outcome="failure"}'),
        (
            about(Kind.DELIVERIES, about_errors=True, channel="slack"),
            'amani_alert_delivery_attempts_total{channel="slack", outcome!="delivered"}',
        ),
        (about(Kind.QUERIES, about_errors=True), "db_query_duration_seconds_bucket{}"),
    ],
)
def test_each_kind_of_alert_about_errors_asks_the_counter_of_what_failed(
    prometheus: PrometheusStandIn, subject: Subject, query: str
) -> None:
    look(subject)
    assert [parameters["query"] for _, parameters in prometheus.asked] == [query]


def test_an_alert_without_an_endpoint_asks_first_where_it_fails(prometheus: PrometheusStandIn) -> None:
    rows = [
        {"metric": {"method": "GET", "endpoint": "/a"}, "value": [AT, "3"]},
        {"metric": {"method": "POST", "endpoint": "/b"}, "value": [AT, "41.6"]},
    ]
    prometheus.replies["query"] = success({"resultType": "vector", "result": rows})
    found = look(about(about_errors=True))
    assert found.places == [Place("POST", "/b", 41.6), Place("GET", "/a", 3)]
    assert [name for name, _ in prometheus.asked] == ["query", "query_exemplars"]
    assert prometheus.asked[0][1]["time"] == f"{START.timestamp() + 600:.3f}"
    assert prometheus.asked[1][1]["query"] == (
        'http_requests_total{method="POST", endpoint="/b", status=~"5.."}'
        ' or http_requests_total{method="GET", endpoint="/a", status=~"5.."}'
    )


def test_nothing_more_is_asked_when_nothing_fails(prometheus: PrometheusStandIn) -> None:
    assert look(about(about_errors=True)) == samples.Found()
    assert [name for name, _ in prometheus.asked] == ["query"]


def test_an_alert_about_a_disk_asks_nothing(prometheus: PrometheusStandIn) -> None:
    assert look(about(Kind.OTHER)) == samples.Found()
    assert prometheus.asked == []


def test_half_an_hour_is_looked_at_however_long_the_alert_is(prometheus: PrometheusStandIn) -> None:
    look(about(endpoint="/x", end=START + timedelta(hours=6)))
    assert float(prometheus.asked[0][1]["end"]) - START.timestamp() == 1800


# --- Down, slow, hostile ---


def test_a_prometheus_that_is_down_is_said(settings: Settings) -> None:
    settings.PROMETHEUS_URL = f"http://127.0.0.1:{find_free_port()}"
    assert look(about(endpoint="/x")).problem == "Prometheus cannot be reached."


def test_an_address_that_is_none_is_said(settings: Settings) -> None:
    settings.PROMETHEUS_URL = "not an address"
    assert look(about(endpoint="/x")).problem == "Prometheus cannot be reached."


def test_the_password_of_prometheus_is_sent_and_a_wrong_one_is_said(
    prometheus: PrometheusStandIn, settings: Settings
) -> None:
    prometheus.authorization = "Basic dGVhbTpwOnNzd8O2cmQ="
    refused = "Prometheus does not accept the password (PROMETHEUS_USER, PROMETHEUS_PASSWORD)."
    assert look(about(endpoint="/x")).problem == refused
    settings.PROMETHEUS_USER, settings.PROMETHEUS_PASSWORD = "team", "p:sswörd"
    assert look(about(endpoint="/x")).problem == ""
    assert monitoring.prometheus_answers()
    prometheus.authorization = "Basic b3RoZXI="
    assert not monitoring.prometheus_answers()


def test_the_password_of_prometheus_is_hidden_everywhere(settings: Settings) -> None:
    settings.PROMETHEUS_PASSWORD = "a-password-of-prometheus"
    assert "a-password-of-prometheus" in set(configured_secrets())


def test_a_byte_now_and_then_does_not_hold_the_page(prometheus: PrometheusStandIn) -> None:
    prometheus.drip_seconds = 0.05
    found = look(about(endpoint="/x"), budget_seconds=0.4)
    assert found == samples.Found(problem="Prometheus does not answer in time.")


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        (Reply(reset=True), "Prometheus cannot be reached."),
        (Reply(body="<html>a proxy's page</html>"), "Prometheus gave a response that is not JSON."),
        (Reply(body="[" * 100_000), "Prometheus gave a response that is not JSON."),
        (Reply(body="9" * 10_000), "Prometheus gave a response that is not JSON."),
        (Reply(body="\udcff".encode(errors="surrogateescape").decode("latin-1")), "Prometheus gave a"),
        (Reply(body=" " * (MOST_BYTES + 1)), "Prometheus's response is too long."),
        (Reply(302, "", {"Location": "http://127.0.0.1:1/"}), "Prometheus gave a response that is not JSON"),
        (Reply(400, '{"status":"error","error":"<b>bad</b>"}'), "Prometheus rejected the query."),
        (Reply(503, "[]"), "Prometheus rejected the query."),
    ],
)
def test_an_unusable_response_is_explained_in_our_own_words(
    prometheus: PrometheusStandIn, reply: Reply, problem: str
) -> None:
    prometheus.replies["query_exemplars"] = reply
    found = look(about(endpoint="/x"))
    assert (found.samples, found.problem.startswith(problem)) == ([], True), found.problem


ODD: list[Any] = ["", None, 7, "x", [], [[]], {}, {"a": 1}, [None], [{"labels": None}], [{"exemplars": {}}]]


@pytest.mark.parametrize("data", ODD)
def test_odd_data_is_no_sample_and_no_error(prometheus: PrometheusStandIn, data: Any) -> None:
    prometheus.replies["query_exemplars"] = prometheus.replies["query"] = success(data)
    assert look(about(endpoint="/x")) == samples.Found()
    assert look(about()) == samples.Found()


@pytest.mark.parametrize(
    "odd",
    [
        exemplar("../../evil", 1, AT),
        exemplar("<script>alert(1)</script>", 1, AT),
        exemplar("0" * 32, 1, AT),
        exemplar(IDS[0].upper() + "\n", 1, AT),
        exemplar("a" * 33, 1, AT),
        exemplar(7, 1, AT),
        exemplar(IDS[0], "NaN", AT),
        exemplar(IDS[0], "+Inf", AT),
        exemplar(IDS[0], -1, AT),
        exemplar(IDS[0], None, AT),
        exemplar(IDS[0], 1, 1e300),
        exemplar(IDS[0], 1, START.timestamp() - 3600),
        {"labels": {"trace_id": IDS[0]}},
        {"labels": [IDS[0]], "value": 1, "timestamp": AT},
        None,
        "x",
    ],
)
def test_what_is_no_exemplar_of_a_trace_is_left_out(prometheus: PrometheusStandIn, odd: Any) -> None:
    prometheus.replies["query_exemplars"] = success([series(odd, exemplar(IDS[1], 1, AT), endpoint="/x")])
    assert [sample.trace_id for sample in look(about(endpoint="/x")).samples] == [IDS[1]]


@pytest.mark.parametrize("text", ["$(touch pwned)", "a b c d e f g", 7, None, "short"])
def test_what_is_no_request_id_is_left_out(prometheus: PrometheusStandIn, text: Any) -> None:
    odd = exemplar(IDS[0], 1, AT, request_id=text)
    prometheus.replies["query_exemplars"] = success([series(odd, method=7, endpoint="/a\u202e", status=5)])
    [sample] = look(about(endpoint="/x")).samples
    assert (sample.request_id, sample.ended, sample.name) == ("", "", "")


@pytest.mark.parametrize(
    "row",
    [
        None,
        {"metric": {"method": "GET"}, "value": [0, "1"]},
        {"metric": {"method": "GET", "endpoint": "/a" * 200}, "value": [0, "1"]},
        {"metric": {"method": "GET", "endpoint": "/a\n"}, "value": [0, "1"]},
        {"metric": {"method": "GET", "endpoint": "/a"}, "value": [0, "NaN"]},
        {"metric": {"method": "GET", "endpoint": "/a"}, "value": "1"},
        {"metric": {"method": 1, "endpoint": "/a"}, "value": [0, "1"]},
    ],
)
def test_a_place_that_makes_no_sense_is_left_out(prometheus: PrometheusStandIn, row: Any) -> None:
    prometheus.replies["query"] = success({"result": [row]})
    assert look(about()) == samples.Found()


def test_a_label_is_one_string_of_promql() -> None:
    assert quoted('a"\\\n\x00é') == '"a\\"\\\\\\n\\u0000é"'
    assert json.loads(quoted("a\x7f")) == "a\x7f"
