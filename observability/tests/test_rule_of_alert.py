"""The rule on the alert's page: expression, threshold, value then and now, version and author."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from observability.alerts.endings.asking import kept
from observability.models import AlertRule, Episode, RulesVersion
from observability.rules.fired import authorship, measure
from observability.tests import history
from observability.tests.prometheus_stand_in import PrometheusStandIn, success
from observability.tests.rule_changes import change, own
from observability.tests.vendors import Reply

pytestmark = pytest.mark.django_db


class TwoMoments(PrometheusStandIn):
    """The queue of `a` was 150 long when the alert began, and is 20 long now; that of `b` is always 999."""

    began: float = 0.0

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        at = float(parse_qs(urlsplit(handler.path).query)["time"][0])
        value = 150 if abs(at - self.began) < 1 else 20
        result = [
            {"metric": {"__name__": "queue_length", "job": job}, "value": [at, str(number)]}
            for job, number in (("a", value), ("b", 999))
        ]
        if self.replies["query"].status == 200:
            self.replies["query"] = success({"resultType": "vector", "result": result})
        super().answer(handler)


@pytest.fixture
def prometheus(settings: Any) -> Iterator[TwoMoments]:
    kept.answers.clear()
    stand_in = TwoMoments()
    settings.PROMETHEUS_URL = stand_in.url
    yield stand_in
    stand_in.close()
    kept.answers.clear()


@pytest.fixture
def rule() -> AlertRule:
    values = {"series": "queue_length", "comparison": ">", "threshold": 100.0, "for_seconds": 60.0}
    return own("QueueLong", labels={"severity": "warning"}, **values)


@pytest.fixture
def alert(rule: AlertRule, prometheus: TwoMoments) -> Episode:
    labels = {"alertname": "QueueLong", "severity": "warning", "job": "a"}
    found = history.episode(
        alertname="QueueLong", labels=labels, starts_at=timezone.now() - timedelta(hours=3)
    )
    prometheus.began = found.starts_at.timestamp()
    return found


def url_of(alert: Episode) -> str:
    return reverse("admin:observability_episode_rule", args=[alert.pk])


def version(number: int, rule: AlertRule, hours_ago: float, **values: Any) -> RulesVersion:
    state = "published" if number == 2 else "superseded"
    return RulesVersion.objects.create(
        number=number,
        state=state,
        reason=f"Reason {number}.",
        files={},
        digest=f"{number:064x}",
        rule_count=1,
        published_at=timezone.now() - timedelta(hours=hours_ago),
        finished_at=timezone.now(),
        **values,
    )


def test_the_value_of_the_alerts_own_series_is_shown_then_and_now(alert: Episode, rule: AlertRule) -> None:
    found = measure(alert, rule)
    assert (found.expression, found.problem) == ("queue_length > 100", "")
    [reading] = found.readings
    assert (reading.condition.text, reading.then, reading.now) == ("> 100", (150.0,), (20.0,))


def test_an_alert_knows_the_threshold_with_which_it_began(alert: Episode, rule: AlertRule) -> None:
    alert.generator_url = f"http://prometheus/graph?g0.expr={quote('queue_length > 120')}&g0.tab=1"
    found = measure(alert, rule)
    assert (found.expression, found.readings[0].condition.text) == ("queue_length > 120", "> 120")


def test_a_series_that_is_gone_has_no_value(alert: Episode, rule: AlertRule) -> None:
    alert.labels["job"] = "c"
    [reading] = measure(alert, rule).readings
    assert (reading.then, reading.now) == ((), ())


def test_without_prometheus_or_a_threshold_the_page_says_why_there_are_no_values(
    alert: Episode, rule: AlertRule, prometheus: TwoMoments
) -> None:
    prometheus.replies["query"] = Reply(503)
    assert "Prometheus did not answer" in measure(alert, rule).problem
    rule.expression = "absent(up)"
    assert "compares no series with a number" in measure(alert, rule).problem
    assert "compares no series with a number" in measure(alert, None).problem


def test_the_version_in_force_when_the_alert_began_is_shown_with_its_author(
    alert: Episode, rule: AlertRule, operator: Callable[..., Any], sign_in: Callable[..., Client]
) -> None:
    ada = operator("approver")
    ada.full_name = "Ada Abara"
    ada.save()
    first = change(rule, kind="edited", reason="Too many pages.", actor=ada)
    change(rule, kind="edited", reason="Too few pages.", actor=ada)
    version(1, rule, 5, author=ada, changes={str(rule.pk): 1})
    version(2, rule, 1, author_text="release 2", changes={str(rule.pk): 2})
    found = authorship(rule, alert.starts_at)
    assert found.version is not None
    assert (found.version.number, found.change) == (1, first)
    client = sign_in("viewer")
    part = client.get(url_of(alert), headers={"X-Requested-With": "fetch"}).content.decode()
    for text in (part, client.get(url_of(alert)).content.decode()):
        assert "Version 1" in text
        assert "by Ada Abara: Reason 1." in text
        assert "Too many pages." in text
        assert "<td>150</td><td>20</td>" in text
    page = client.get(reverse("admin:observability_episode_change", args=[alert.pk])).content.decode()
    assert f'data-load="{url_of(alert)}"' in page


def test_who_may_tune_rules_gets_to_the_editor(
    alert: Episode, rule: AlertRule, sign_in: Callable[..., Client]
) -> None:
    editor = reverse("admin:observability_alertrule_tune", args=[rule.pk])
    assert editor in sign_in("approver").get(url_of(alert)).content.decode()
    assert editor not in sign_in("responder").get(url_of(alert)).content.decode()


def test_before_the_first_publication_the_rule_is_the_releases(alert: Episode, rule: AlertRule) -> None:
    assert authorship(rule, alert.starts_at) == (None, None)
    late = version(2, rule, 1, author_text="release 2", changes={str(rule.pk): 1})
    assert authorship(rule, alert.starts_at) == (None, None)
    assert authorship(rule, timezone.now()) == (late, None)


def test_another_expression_than_that_of_now_is_shown(alert: Episode, sign_in: Callable[..., Client]) -> None:
    client = sign_in("viewer")
    assert "another expression" not in client.get(url_of(alert)).content.decode()
    expression = quote("queue_length{job='<b>'} > 120")
    Episode.objects.update(generator_url=f"http://prometheus/graph?g0.expr={expression}")
    text = client.get(url_of(alert)).content.decode()
    assert "It began with another expression" in text
    assert "&lt;b&gt;" in text


def test_who_may_not_see_alerts_sees_no_rule_of_theirs(
    alert: Episode, sign_in: Callable[..., Client]
) -> None:
    assert sign_in("staff").get(url_of(alert)).status_code == 403
    missing = reverse("admin:observability_episode_rule", args=[alert.pk + 1])
    assert sign_in("viewer").get(missing).status_code == 404
