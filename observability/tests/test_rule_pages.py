"""The pages of rules: the list, one rule with what Prometheus has loaded, and the rule of an alert."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from observability.alerts import episodes
from observability.alerts.errors import CannotMark
from observability.models import AlertRule, Episode, EpisodeEvent
from observability.rules.loaded import Difference, Loaded, ask_about
from observability.tests import history
from observability.tests.prometheus_stand_in import PrometheusStandIn, success
from observability.tests.vendors import Reply

pytestmark = pytest.mark.django_db

LIST = reverse("admin:observability_alertrule_changelist")
EVALUATED_AT = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)


def rule(key: str = "HighErrorRate") -> AlertRule:
    return AlertRule.objects.select_related("group").get(key=key)


def page_of(row: AlertRule | Episode) -> str:
    return reverse(f"admin:observability_{type(row).__name__.lower()}_change", args=[row.pk])


def listed(client: Client, query: str = "") -> list[str]:
    answer = client.get(f"{LIST}?{query}")
    assert answer.status_code == 200
    return [row.key for row in answer.context["cl"].result_list]


# --- The list ---


def test_the_list_has_the_alerting_rules_of_this_release(sign_in: Callable[..., Client]) -> None:
    client = sign_in("viewer")
    gone = rule("TracesNotExported")
    gone.removed_at = EVALUATED_AT
    gone.save()
    alerting = AlertRule.objects.filter(kind="alert", removed_at=None).order_by("name", "id")
    assert listed(client) == list(alerting.values_list("key", flat=True))
    assert set(listed(client, "which=records")) == set(
        AlertRule.objects.filter(kind="record").values_list("key", flat=True)
    )
    assert listed(client, "which=gone") == ["TracesNotExported"]
    assert "HighErrorRate" in listed(client, "q=HighError")


def test_the_list_says_how_useful_each_rule_was(
    sign_in: Callable[..., Client], django_user_model: Any
) -> None:
    client = sign_in("viewer")
    labels = {"alertname": "HighErrorRate", **rule().labels}
    for number in (1, 2):
        history.episode(number, labels=labels, status="resolved", mark="noise")
    text = client.get(f"{LIST}?q=HighErrorRate").content.decode()
    assert "fired 2 times" in text
    assert "Never acknowledged" in text
    assert "0 acknowledged, 0 useful, 2 noise" in text
    assert listed(client, "quality=never_acknowledged") == ["HighErrorRate"]
    assert listed(client, "quality=noise") == ["HighErrorRate"]
    assert listed(client, "quality=fired") == ["HighErrorRate"]
    assert "HighErrorRate" not in listed(client, "quality=silent")


def test_the_list_takes_as_many_queries_for_many_alerts_as_for_none(sign_in: Callable[..., Client]) -> None:
    client = sign_in("viewer")
    client.get(LIST)
    with CaptureQueriesContext(connection) as before:
        client.get(LIST)
    for number in range(1, 21):
        history.episode(number, status="resolved")
    with CaptureQueriesContext(connection) as after:
        client.get(LIST)
    assert len(after) == len(before)


# --- A rule's page, and what Prometheus has ---


@pytest.fixture
def prometheus(settings: Any) -> Iterator[PrometheusStandIn]:
    stand_in = PrometheusStandIn()
    settings.PROMETHEUS_URL = stand_in.url
    yield stand_in
    stand_in.close()


def loaded(row: AlertRule, **changes: Any) -> Reply:
    """Prometheus's answer with the rule as it is, but for `changes`."""
    there = {
        "name": row.name,
        "query": row.expression,
        "duration": row.for_seconds,
        "labels": row.labels,
        "health": "ok",
        "lastEvaluation": EVALUATED_AT.isoformat(),
        "alerts": [{}, {}],
    }
    return success({"groups": [{"name": row.group.name, "rules": [there | changes]}]})


def test_a_rule_is_loaded_as_it_is_here(prometheus: PrometheusStandIn) -> None:
    prometheus.replies["rules"] = loaded(rule())
    assert ask_about(rule()) == Loaded(True, (), True, "", EVALUATED_AT, 2)
    assert prometheus.asked == [("rules", {"type": "alert"})]


def test_an_expression_that_prometheus_writes_in_another_way_is_the_same(
    prometheus: PrometheusStandIn,
) -> None:
    prometheus.replies |= {"rules": loaded(rule(), query="written otherwise"), "format_query": success("up")}
    found = ask_about(rule())
    assert found is not None
    assert found.differences == ()


def test_what_differs_is_named(prometheus: PrometheusStandIn) -> None:
    row = rule()
    row.expression, row.for_seconds = "up == 0", 300
    labels = {**row.labels, "severity": "info", "team": "x"}
    prometheus.replies["rules"] = loaded(row, duration=60, keepFiringFor=5, labels=labels)
    found = ask_about(row)
    assert found is not None
    assert found.differences == (
        Difference("for", "300 s", "60 s"),
        Difference("keep firing for", "0 s", "5 s"),
        Difference("label severity", row.severity, "info"),
        Difference("label team", "—", "x"),
    )


@pytest.mark.parametrize("change", [{"name": "Other"}, {"labels": {"scope": "elsewhere"}}])
def test_a_rule_that_is_not_there(prometheus: PrometheusStandIn, change: dict[str, Any]) -> None:
    row = rule("ApplicationDown/all")
    prometheus.replies["rules"] = loaded(row, **change)
    assert ask_about(row) == Loaded(is_loaded=False)


@pytest.mark.parametrize(
    "reply",
    [
        Reply(503),
        Reply(body="{}"),
        Reply(body="[]"),
        Reply(body="no JSON"),
        success({"groups": [{"name": 1}]}),
    ],
)
def test_what_is_no_answer_says_nothing(prometheus: PrometheusStandIn, reply: Reply) -> None:
    prometheus.replies["rules"] = reply
    found = ask_about(rule())
    assert found is None or found == Loaded(is_loaded=False)


def test_without_the_form_of_an_expression_it_is_not_known_whether_it_differs(
    prometheus: PrometheusStandIn,
) -> None:
    prometheus.replies |= {"rules": loaded(rule(), query="other"), "format_query": Reply(503)}
    assert ask_about(rule()) is None


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({}, "Loaded as it is here"),
        ({"duration": 1}, "Another version is loaded"),
        ({"name": "Other"}, "Not loaded"),
        ({"health": "err", "lastError": "many-to-many matching"}, "many-to-many matching"),
    ],
)
def test_the_page_says_what_prometheus_has(
    sign_in: Callable[..., Client], prometheus: PrometheusStandIn, change: dict[str, Any], text: str
) -> None:
    client, row = sign_in("viewer"), rule()
    prometheus.replies["rules"] = loaded(row, **change)
    url = reverse("admin:observability_alertrule_loaded", args=[row.pk])
    whole = client.get(url).content.decode()
    part = client.get(url, headers={"X-Requested-With": "fetch"}).content.decode()
    assert text in part
    assert part.strip() in whole
    assert f'data-load="{url}"' in client.get(page_of(row)).content.decode()


def test_without_an_answer_the_page_says_that_it_is_not_known(
    sign_in: Callable[..., Client], prometheus: PrometheusStandIn
) -> None:
    prometheus.replies["rules"] = Reply(503)
    answer = sign_in("viewer").get(reverse("admin:observability_alertrule_loaded", args=[rule().pk]))
    assert "Prometheus did not answer" in answer.content.decode()


def test_the_page_of_a_rule_escapes_what_a_rule_file_says(sign_in: Callable[..., Client]) -> None:
    row = rule()
    row.expression, row.annotations = "<script>1</script>", {"runbook_url": "javascript:alert(1)"}
    row.save()
    text = sign_in("viewer").get(page_of(row)).content.decode()
    assert "&lt;script&gt;1" in text
    assert 'href="javascript:' not in text


# --- The rule of an alert, and marks ---


def test_an_alert_shows_its_rule(sign_in: Callable[..., Client]) -> None:
    row = rule()
    alert = history.episode(labels={"alertname": row.name, **row.labels})
    client = sign_in("viewer")
    text = client.get(page_of(alert)).content.decode()
    assert page_of(row) in text
    assert row.expression.split()[0] in text
    other = history.episode(2, alertname="OfOthers", labels={"alertname": "OfOthers"})
    assert 'aria-label="Rule"' not in client.get(page_of(other)).content.decode()


def test_a_responder_marks_an_alert_and_may_change_the_mark(sign_in: Callable[..., Client]) -> None:
    alert = history.episode(status="resolved")
    client = sign_in("responder")
    for mark in ("useful", "noise"):
        url = reverse("admin:observability_episode_mark", args=[alert.pk])
        answer = client.post(url, {"mark": mark}, follow=True)
        assert f"Marked as {mark}." in answer.content.decode()
        alert.refresh_from_db()
        assert alert.mark == mark
    events = EpisodeEvent.objects.filter(episode=alert, kind="marked").order_by("id")
    assert list(events.values_list("text", flat=True)) == ["useful", "noise"]


@pytest.mark.parametrize("as_what", ["useful", "", "great"])
def test_a_mark_that_is_none_or_is_there_changes_nothing(django_user_model: Any, as_what: str) -> None:
    ada = django_user_model.objects.create_user("ada@example.com")
    alert = history.episode(mark="useful")
    with pytest.raises(CannotMark):
        episodes.mark(episode_id=alert.pk, actor=ada, as_what=as_what)
    assert not EpisodeEvent.objects.exists()
