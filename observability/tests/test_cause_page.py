"""The card "Look for the cause" on an alert's page, and the samples that load after it."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from local.ports import find_free_port
from observability.models import EpisodeEvent
from observability.tests import history
from observability.tests.prometheus_stand_in import PrometheusStandIn, exemplar, series, success

pytestmark = pytest.mark.django_db

EXPRESSION = "http://prometheus/graph?g0.expr=instance%3Aamani_http_errors%3Asum+%3E+0.05"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
REQUEST = "0123456789abcdef0123456789abcdef"
HOSTILE = "/\"'><script>alert(1)</script>&{{7*7}}"


@pytest.fixture
def prometheus(settings: Settings) -> Iterator[PrometheusStandIn]:
    stand_in = PrometheusStandIn()
    settings.PROMETHEUS_URL = stand_in.url
    yield stand_in
    stand_in.close()


@pytest.fixture
def everything_on(settings: Settings) -> None:
    settings.TRACING_ENABLED = True
    settings.SENTRY_DSN = "https://key@sentry.example/1"
    settings.SENTRY_URL = "https://sentry.example/issues/"
    settings.GRAFANA_URL = "https://grafana.example/d/amani"
    settings.LOGS_URL = "https://logs.example/?q={query}"


def page_of(client: Client, **changes: Any) -> str:
    episode = history.episode(12, **{"generator_url": EXPRESSION} | changes)
    answer = client.get(reverse("admin:observability_episode_change", args=[episode.pk]))
    return html.unescape(card_in(answer.content.decode()))


def card_in(page: str) -> str:
    found = re.search(r'<section class="am-card" id="cause".*?</section>', page, re.DOTALL)
    assert found is not None
    return " ".join(found[0].split())


def samples_url(pk: int) -> str:
    return reverse("admin:observability_episode_samples", args=[pk])


def with_samples(prometheus: PrometheusStandIn, **labels: str) -> None:
    at = timezone.now().timestamp() - 300
    prometheus.replies["query"] = success(
        {"result": [{"metric": {"method": "POST", "endpoint": "/api/v1/deals"}, "value": [at, "41"]}]}
    )
    labels = {"method": "POST", "endpoint": "/api/v1/deals", "status": "500"} | labels
    found = exemplar(TRACE, "1", at, request_id=REQUEST)
    prometheus.replies["query_exemplars"] = success([series(found, **labels)])


# --- The card ---


@pytest.mark.usefixtures("everything_on")
def test_the_card_leads_to_traces_errors_dashboard_and_logs(sign_in: Callable[..., Client]) -> None:
    card = page_of(sign_in("viewer"))
    links = re.findall(r'<a href="([^"]+)" target="_blank" rel="noopener noreferrer">([^<]+)</a>', card)
    assert [(words, url.split("?")[0]) for url, words in links] == [
        ("Failed requests in Jaeger", "http://localhost:16686/search"),
        ("Issues in Sentry", "https://sentry.example/issues/"),
        ("At that time", "https://grafana.example/d/amani"),
        ("Search", "https://logs.example/"),
    ]


def test_what_is_off_is_said_quietly_and_logs_are_a_command(
    sign_in: Callable[..., Client], settings: Settings
) -> None:
    settings.TRACING_ENABLED = False
    settings.SENTRY_DSN = settings.GRAFANA_URL = settings.LOGS_URL = ""
    settings.DEBUG, settings.LOG_FORMAT = True, "json"
    card = page_of(sign_in("viewer"))
    assert "<a " not in card
    assert "off: TRACING_ENABLED is not set" in card
    assert "Sentry is off: SENTRY_DSN is not set" in card
    assert "none: GRAFANA_URL is not set" in card
    assert "<code>jq -cR 'fromjson? | objects | select(" in card
    assert "data-load" not in card


@pytest.mark.usefixtures("everything_on")
def test_sentry_without_an_address_is_on_but_has_no_link(
    sign_in: Callable[..., Client], settings: Settings
) -> None:
    settings.SENTRY_URL = ""
    assert "in Sentry; no link, SENTRY_URL is not set" in page_of(sign_in("viewer"))


@pytest.mark.usefixtures("everything_on")
@pytest.mark.parametrize(
    ("labels", "words"), [({"channel": "slack"}, "Failed deliveries to slack"), ({}, "Failed deliveries")]
)
def test_alert_about_deliveries_names_the_channel(
    labels: dict[str, str], words: str, sign_in: Callable[..., Client]
) -> None:
    rule = "http://prometheus/graph?g0.expr=amani_alert_delivery_attempts_total"
    card = page_of(sign_in("viewer"), alertname="AlertDeliveriesFailing", generator_url=rule, labels=labels)
    assert f">{words} in Jaeger</a>" in card


@pytest.mark.usefixtures("everything_on")
def test_alert_about_a_disk_has_no_samples(sign_in: Callable[..., Client]) -> None:
    card = page_of(sign_in("viewer"), alertname="DiskSpaceLow", generator_url="")
    assert "Everything of that time in Jaeger" in card
    assert "data-load" not in card


@pytest.mark.usefixtures("everything_on")
@pytest.mark.parametrize("logs", ["https://logs.example/?q={query}", ""])
@pytest.mark.parametrize("name", ["endpoint", "task", "method", "job"])
def test_hostile_labels_reach_neither_html_nor_addresses(
    name: str, logs: str, sign_in: Callable[..., Client], settings: Settings
) -> None:
    settings.LOGS_URL = logs
    episode = history.episode(
        12,
        generator_url=EXPRESSION + HOSTILE,
        labels={"endpoint": "/x", name: HOSTILE},
        annotations={"dashboard_url": "javascript:alert(1)", "dashboard": f"https://g.example/{HOSTILE}"},
    )
    answer = sign_in("viewer").get(reverse("admin:observability_episode_change", args=[episode.pk]))
    card = card_in(answer.content.decode())
    assert "<script" not in card
    assert "javascript:" not in card
    addresses = [html.unescape(address) for address in re.findall(r'href="([^"]*)"', card)]
    assert len(addresses) == (5 if logs else 4)  # with the link to the samples
    assert [address for address in addresses if set(address) & set('<>" {}')] == []


def test_request_of_the_timeline_has_a_way_to_find_its_log_lines(
    sign_in: Callable[..., Client], settings: Settings
) -> None:
    settings.DEBUG, settings.LOGS_URL = True, ""
    episode = history.episode()
    EpisodeEvent.objects.create(episode=episode, kind="fired", request_id=REQUEST)
    client, url = sign_in("viewer"), reverse("admin:observability_episode_change", args=[episode.pk])
    assert f"grep -hF -- {REQUEST} .run/log/*.log" in client.get(url).content.decode()
    settings.LOGS_URL = "https://logs.example/?q={query}"
    page = client.get(url).content.decode()
    assert f'href="https://logs.example/?q=%22{REQUEST}%22"' in page
    assert "grep" not in page


@pytest.mark.usefixtures("everything_on")
def test_the_page_itself_does_not_ask_prometheus(
    prometheus: PrometheusStandIn, sign_in: Callable[..., Client]
) -> None:
    assert 'data-load="/admin/observability/episode/' in page_of(sign_in("viewer"))
    assert prometheus.asked == []


# --- The samples ---


@pytest.mark.usefixtures("everything_on")
def test_samples_lead_to_the_trace_and_to_its_log_lines(
    prometheus: PrometheusStandIn, sign_in: Callable[..., Client]
) -> None:
    with_samples(prometheus)
    episode = history.episode(12, generator_url=EXPRESSION)
    answer = sign_in("viewer").get(samples_url(episode.pk), headers={"X-Requested-With": "fetch"})
    part = answer.content.decode()
    assert "<html" not in part
    assert f'href="http://localhost:16686/trace/{TRACE}"' in part
    assert f'href="https://logs.example/?q=%22{REQUEST}%22"' in part
    words = " ".join(re.sub(r"<[^>]+>", " ", part).split())
    assert re.search(r"41 failed POST /api/v1/deals Trace 4bf92f35 500 .+ POST /api/v1/deals", words)
    assert "private" in answer.headers["Cache-Control"]


@pytest.mark.usefixtures("everything_on")
def test_samples_of_an_alert_about_slowness_say_how_long_they_took(
    prometheus: PrometheusStandIn, sign_in: Callable[..., Client]
) -> None:
    found = exemplar(TRACE, "1.845", timezone.now().timestamp() - 300)
    labels = {"method": "GET", "endpoint": "/x", "le": "2.5"}
    prometheus.replies["query_exemplars"] = success([series(found, **labels)])
    episode = history.episode(12, alertname="HighResponseTime", labels={"endpoint": "/x"})
    part = sign_in("viewer").get(samples_url(episode.pk), headers={"X-Requested-With": "fetch"})
    words = " ".join(re.sub(r"<[^>]+>", " ", part.content.decode()).split())
    assert re.match(r"Trace 4bf92f35 1\.84 s [^ ]+ GET /x", words)


@pytest.mark.usefixtures("everything_on")
def test_samples_opened_by_hand_are_a_page(
    prometheus: PrometheusStandIn, sign_in: Callable[..., Client], settings: Settings
) -> None:
    settings.LOGS_URL = ""
    with_samples(prometheus)
    episode = history.episode(12, generator_url=EXPRESSION)
    page = sign_in("viewer").get(samples_url(episode.pk)).content.decode()
    assert "<html" in page
    assert f"/trace/{TRACE}" in page
    assert f"grep -F -- {REQUEST}" in page


@pytest.mark.usefixtures("everything_on")
def test_hostile_series_are_shown_as_text(
    prometheus: PrometheusStandIn, sign_in: Callable[..., Client]
) -> None:
    with_samples(prometheus, endpoint=HOSTILE)
    row = {"metric": {"method": HOSTILE, "endpoint": HOSTILE}, "value": [0, "3"]}
    prometheus.replies["query"] = success({"result": [row]})
    part = sign_in("viewer").get(samples_url(history.episode(12, generator_url=EXPRESSION).pk))
    text = part.content.decode()
    assert "<script>alert" not in text
    assert text.count(html.escape(HOSTILE)) == 3


@pytest.mark.usefixtures("everything_on")
def test_prometheus_that_is_down_is_one_line_on_the_page(
    sign_in: Callable[..., Client], settings: Settings
) -> None:
    settings.PROMETHEUS_URL = f"http://127.0.0.1:{find_free_port()}"
    answer = sign_in("viewer").get(samples_url(history.episode(12, generator_url=EXPRESSION).pk))
    assert answer.status_code == 200
    assert "Prometheus cannot be reached." in answer.content.decode()


def test_with_tracing_off_prometheus_is_not_asked(
    prometheus: PrometheusStandIn, sign_in: Callable[..., Client], settings: Settings
) -> None:
    settings.TRACING_ENABLED = False
    answer = sign_in("viewer").get(samples_url(history.episode(12, generator_url=EXPRESSION).pk))
    assert "Tracing is off: TRACING_ENABLED is not set." in answer.content.decode()
    assert prometheus.asked == []


@pytest.mark.usefixtures("everything_on")
def test_the_client_has_no_say_in_what_is_asked(
    prometheus: PrometheusStandIn, sign_in: Callable[..., Client]
) -> None:
    url = samples_url(history.episode(12, generator_url=EXPRESSION, labels={"endpoint": "/x"}).pk)
    client = sign_in("viewer")
    client.get(url)
    client.get(url, {"query": "up", "endpoint": "/y", "start": "0", "url": "http://evil.example"})
    first, second = (parameters["query"] for _, parameters in prometheus.asked)
    assert first == second == 'http_requests_total{endpoint="/x", status=~"5.."}'


@pytest.mark.usefixtures("everything_on")
@pytest.mark.parametrize(("role", "status"), [("viewer", 200), ("responder", 200), ("staff", 403)])
def test_samples_are_for_those_who_may_see_the_alert(
    role: str, status: int, prometheus: PrometheusStandIn, sign_in: Callable[..., Client]
) -> None:
    url = samples_url(history.episode().pk)
    client = sign_in(role)
    assert client.get(url).status_code == status
    assert bool(prometheus.asked) == (status == 200)
    assert client.post(url).status_code == 405


def test_visitor_is_sent_to_the_login(client: Client) -> None:
    answer = client.get(samples_url(history.episode().pk))
    assert (answer.status_code, answer.headers["Location"].split("?")[0]) == (302, "/admin/login/")


def test_samples_of_an_unknown_alert_are_not_found(sign_in: Callable[..., Client]) -> None:
    assert sign_in("viewer").get(samples_url(99)).status_code == 404


@pytest.mark.usefixtures("everything_on")
def test_samples_take_as_many_queries_for_a_long_history_as_for_none(
    prometheus: PrometheusStandIn, sign_in: Callable[..., Client], django_user_model: Any
) -> None:
    client = sign_in("viewer")
    with_samples(prometheus)
    url = samples_url(history.episode(500).pk)
    counts = []
    for length in (0, 20):
        history.whole_history(length, django_user_model.objects.get())
        client.get(url)
        with CaptureQueriesContext(connection) as queries:
            client.get(url, headers={"X-Requested-With": "fetch"})
        counts.append(len(queries))
    assert counts[0] == counts[1] <= 5
