"""Previews: asked for on the page of a rule, computed by the worker, shown with what is real."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from local.ports import find_free_port
from observability.models import AlertRule, Episode, RulePreview
from observability.rules.preview import work
from observability.rules.preview.asking import present_of, question_of
from observability.rules.preview.errors import CannotPreview
from observability.rules.preview.question import Parts, Question
from observability.rules.preview.replay import Condition
from observability.rules.preview.tests.past import Past
from observability.tests import history
from observability.tests.prometheus_stand_in import success
from observability.tests.rule_changes import change, own, shipped
from observability.tests.vendors import Reply

pytestmark = pytest.mark.django_db

LABELS = {"job": "a"}
HOUR = 3600


@pytest.fixture
def end() -> float:
    """The newest evaluation of the rule, on a whole minute."""
    return timezone.now().timestamp() // 60 * 60


@pytest.fixture
def prometheus(settings: Any, end: float) -> Iterator[Past]:
    """For ten minutes the queue was 150 long, twelve hours ago, and 300 long three hours ago."""
    stand_in = Past()
    settings.PROMETHEUS_URL = stand_in.url
    stand_in.replies["rules"] = evaluated(end)

    def length(at: float) -> float:
        if end - 12 * HOUR <= at < end - 12 * HOUR + 600:
            return 150
        return 300 if end - 3 * HOUR <= at < end - 3 * HOUR + 600 else 10

    stand_in.series = {
        "queue_length": [(LABELS, length)],
        "count(queue_length\n)": [({}, lambda at: 1)],
        recorded(): [(ALERT, lambda at: 1 if length(at) > 100 and length(at - 60) > 100 else None)],
    }
    yield stand_in
    stand_in.close()


ALERT = {"alertname": "QueueLong", "alertstate": "firing", "severity": "warning", **LABELS}


def recorded() -> str:
    selector = 'alertname="QueueLong",alertstate="firing",severity=~"warning"'
    return f"present_over_time(ALERTS{{{selector}}}[59999ms])"


def evaluated(at: float, interval: float = 60, name: str = "operators") -> Reply:
    group = {"name": name, "interval": interval, "lastEvaluation": iso(at), "rules": []}
    return success({"groups": [group]})


def iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat()


@pytest.fixture
def rule() -> AlertRule:
    values = {"series": "queue_length", "comparison": ">", "threshold": 100.0, "for_seconds": 60.0}
    return AlertRule.objects.select_related("group").get(
        pk=own("QueueLong", labels={"severity": "warning"}, **values).pk
    )


@pytest.fixture
def asked(rule: AlertRule, operator: Callable[..., Any]) -> Callable[..., RulePreview]:
    anyone = operator("finance")

    def ask(**changes: Any) -> RulePreview:
        actor = changes.pop("actor", anyone)
        values = {"days": 1, "threshold": 200.0, "for_seconds": 60.0, "keep_firing_for_seconds": 0.0}
        return work.ask_for(rule=rule, actor=actor, **values | changes)

    return ask


def computed(preview: RulePreview) -> RulePreview:
    work.run_due()
    preview.refresh_from_db()
    return preview


def real(end: float, hours: int, **changes: Any) -> Episode:
    began = datetime.fromtimestamp(end - hours * HOUR + 60, UTC)
    labels = {"alertname": "QueueLong", "severity": "warning", **LABELS}
    return history.episode(
        hours,
        alertname="QueueLong",
        labels=labels,
        status="resolved",
        starts_at=began,
        ends_at=began + timedelta(minutes=9),
        **changes,
    )


# --- What is asked ---


def asked_about(preview: RulePreview) -> Question:
    return question_of(preview, preview.rule)


def test_the_present_rule_is_the_shipped_one_as_tuned() -> None:
    row = shipped()
    assert present_of(row).threshold == row.threshold
    tuned = change(row, threshold=7.0, expression="x > 7", for_seconds=30.0)
    present = present_of(row)
    assert (present.threshold, present.rule.for_seconds, present.changed_at) == (7, 30, tuned.at)
    assert present.condition == Condition(row.comparison, 7, 30, row.keep_firing_for_seconds)


def test_a_question_has_the_parts_of_the_expression_and_the_evaluations_of_prometheus(
    prometheus: Past, asked: Callable[..., RulePreview], end: float
) -> None:
    found = asked_about(asked())
    assert found.parts == Parts("queue_length", ())
    assert (found.present, found.proposed) == (Condition(">", 100, 60), Condition(">", 200, 60))
    assert (found.interval_seconds, found.evaluated_at) == (60, end)
    assert (found.labels, found.severities) == ({}, ("warning",))


def test_every_shipped_rule_can_be_asked_about(prometheus: Past, asked: Callable[..., RulePreview]) -> None:
    preview = asked()
    for row in AlertRule.objects.filter(kind="alert", group__name__in=["amani-application", "amani-alerts"]):
        found = question_of(preview, row)
        assert found.present.comparison == row.comparison
        assert found.parts.values or found.parts.always


def test_a_group_that_prometheus_does_not_evaluate_is_replayed_at_its_own_interval(
    prometheus: Past, asked: Callable[..., RulePreview], end: float
) -> None:
    prometheus.replies["rules"] = evaluated(end - 9000, 30, "another")
    assert asked_about(asked()).interval_seconds == 30
    prometheus.replies["rules"] = success({"groups": []})
    assert asked_about(asked()).interval_seconds == 60


@pytest.mark.parametrize("reply", [Reply(503), success({"groups": [{}]}), success([])])
def test_without_the_evaluations_there_is_no_preview(
    prometheus: Past, asked: Callable[..., RulePreview], reply: Reply
) -> None:
    prometheus.replies["rules"] = reply
    with pytest.raises(CannotPreview, match="Prometheus"):
        asked_about(asked())


# --- What the worker computes ---


def test_the_worker_computes_what_the_rule_would_have_done(
    prometheus: Past, asked: Callable[..., RulePreview], end: float
) -> None:
    small = real(end, 12, mark="noise")
    large = real(end, 3, acknowledged_at=timezone.now())
    preview = computed(asked())
    assert (preview.state, preview.percent, preview.last_error) == ("done", 100, "")
    result = preview.result
    assert result is not None
    assert (result["present"]["times"], result["present"]["seconds"]) == (2, 2 * 540)
    assert (result["proposed"]["times"], result["proposed"]["seconds"]) == (1, 540)
    assert (result["recorded"]["times"], result["recorded"]["seconds"]) == (2, 2 * 540)
    assert (result["fidelity"], result["is_trusted"]) == (1, True)
    assert (result["start"], result["end"]) == (end - 24 * HOUR, end + 60)
    assert result["alerts"] == [{"id": large.pk, "kept": True}, {"id": small.pk, "kept": False}]
    assert result["suggestion"] == {
        "threshold": 200,
        "times": 1,
        "seconds": 540,
        "worth_it": 1,
        "worth_it_kept": 1,
        "noise": 1,
        "noise_dropped": 1,
    }


def test_other_parts_of_an_expression_fire_whatever_the_threshold(
    prometheus: Past, rule: AlertRule, asked: Callable[..., RulePreview], end: float
) -> None:
    rule.expression = "queue_length > 100 or absent(queue_length)"
    rule.save()
    prometheus.series["absent(queue_length{})"] = [({}, lambda at: 1 if at >= end - 600 else None)]
    result = computed(asked(threshold=1000.0)).result
    assert result is not None
    assert (result["proposed"]["times"], result["proposed"]["seconds"]) == (1, 600)


def test_a_young_prometheus_is_said_or_refused(
    prometheus: Past, asked: Callable[..., RulePreview], end: float
) -> None:
    since = end - 6 * HOUR
    prometheus.series["count(queue_length\n)"] = [({}, lambda at: 1 if at >= since else None)]
    preview = computed(asked())
    assert preview.result is not None
    assert "Prometheus has data since" in preview.result["notices"][0]
    assert preview.result["present"]["times"] == 1
    since = end - HOUR / 2
    assert "Prometheus is too young" in computed(asked(days=1)).last_error
    since = end + HOUR
    assert "has no data of the last 7 days" in computed(asked(days=7)).last_error


def test_a_prometheus_that_is_away_is_said(asked: Callable[..., RulePreview], settings: Any) -> None:
    settings.PROMETHEUS_URL = f"http://127.0.0.1:{find_free_port()}"
    preview = computed(asked())
    assert (preview.state, preview.last_error) == ("failed", "Prometheus cannot be reached.")
    assert preview.finished_at is not None


def test_another_question_of_an_operator_ends_the_first(
    prometheus: Past, asked: Callable[..., RulePreview], operator: Callable[..., Any]
) -> None:
    ada, bob = operator("responder"), operator("viewer")
    first, other, second = asked(actor=ada), asked(actor=bob), asked(actor=ada)
    work.run_due()
    states = {preview: (RulePreview.objects.get(pk=preview.pk).state) for preview in (first, other, second)}
    assert list(states.values()) == ["failed", "done", "done"]
    first.refresh_from_db()
    assert "asked for another preview" in first.last_error


def test_what_is_no_longer_wanted_is_not_computed_to_its_end(
    prometheus: Past, asked: Callable[..., RulePreview], operator: Callable[..., Any]
) -> None:
    ada = operator("responder")
    first = asked(actor=ada)
    claimed = work.claim()
    assert claimed is not None
    second = asked(actor=ada)
    work.run(claimed)
    first.refresh_from_db()
    assert (first.state, first.result) == ("failed", None)
    assert work.claim() is not None
    assert not any(parameters["query"] == "queue_length" for parameters in prometheus.ranges)
    assert second.state == "waiting"


def test_one_preview_is_computed_at_a_time(
    asked: Callable[..., RulePreview], operator: Callable[..., Any]
) -> None:
    asked(actor=operator("responder"))
    asked(actor=operator("viewer"))
    assert work.claim() is not None
    assert work.claim() is None


def test_a_preview_whose_worker_died_is_computed_by_the_next_and_given_up_after_two(
    prometheus: Past, asked: Callable[..., RulePreview]
) -> None:
    preview = asked()
    assert work.claim() is not None  # and then the worker dies
    RulePreview.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    assert computed(preview).state == "done"
    preview = asked()
    RulePreview.objects.filter(pk=preview.pk).update(attempt_count=work.MOST_ATTEMPTS)
    assert "twice" in computed(preview).last_error


def test_a_worker_whose_lease_ended_stores_nothing(
    prometheus: Past, asked: Callable[..., RulePreview]
) -> None:
    preview = asked()
    late = work.claim()
    assert late is not None
    RulePreview.objects.filter(pk=preview.pk).update(attempt_count=7, percent=30)
    work.run(late)
    preview.refresh_from_db()
    assert (preview.state, preview.percent) == ("waiting", 30)


def test_previews_are_deleted_after_a_week(prometheus: Past, asked: Callable[..., RulePreview]) -> None:
    old = computed(asked())
    RulePreview.objects.update(created_at=timezone.now() - timedelta(days=7, seconds=1))
    new = computed(asked(days=1))
    assert list(RulePreview.objects.all()) == [new]
    assert old.pk != new.pk


@pytest.mark.parametrize(
    "values",
    [
        {"days": 2},
        {"state": "done"},
        {"state": "done", "finished_at": timezone.now()},
        {"finished_at": timezone.now()},
        {"result": {}},
    ],
)
def test_the_database_refuses_a_preview_that_contradicts_itself(
    asked: Callable[..., RulePreview], values: dict[str, Any]
) -> None:
    preview = asked()
    with pytest.raises(IntegrityError), transaction.atomic():
        RulePreview.objects.filter(pk=preview.pk).update(**values)


# --- The pages ---


def form_url(rule: AlertRule) -> str:
    return reverse("admin:observability_alertrule_preview_form", args=[rule.pk])


def page_url(preview: RulePreview) -> str:
    return reverse("admin:observability_alertrule_preview", args=[preview.rule_id, preview.pk])


def test_the_form_has_the_rule_as_it_is_or_as_a_link_says(
    sign_in: Callable[..., Client], rule: AlertRule
) -> None:
    client = sign_in("viewer")
    assert (
        form_url(rule)
        in client.get(reverse("admin:observability_alertrule_change", args=[rule.pk])).content.decode()
    )
    initial = client.get(form_url(rule)).context["form"].initial
    assert initial == {"threshold": "100", "for": "1m", "keep_firing_for": "0s", "days": 7}
    query = "threshold=250&for=5m&keep_firing_for=2m&days=30&other=1"
    initial = client.get(f"{form_url(rule)}?{query}").context["form"].initial
    assert initial == {"threshold": "250", "for": "5m", "keep_firing_for": "2m", "days": "30"}


def test_a_rule_without_a_threshold_can_be_tried_with_other_times(sign_in: Callable[..., Client]) -> None:
    unsplit = {"series": "", "comparison": "", "threshold": None}
    because = "it compares nothing with a number"
    rule = own("Gone", expression="absent(up)", unsplit_because=because, **unsplit)
    text = sign_in("viewer").get(form_url(rule)).content.decode()
    assert "because it compares nothing with a number" in text
    assert 'name="threshold"' not in text
    assert 'name="for"' in text


def test_a_preview_is_asked_for_and_its_page_follows_the_worker(
    sign_in: Callable[..., Client], prometheus: Past, rule: AlertRule, end: float, rings: list[str]
) -> None:
    real(end, 12, mark="noise")
    real(end, 3, mark="useful")
    client = sign_in("responder")
    answer = client.post(form_url(rule), {"threshold": "200", "for": "", "keep_firing_for": "", "days": "1"})
    preview = RulePreview.objects.get()
    assert (answer.status_code, answer["Location"]) == (303, page_url(preview))
    assert (preview.threshold, preview.for_seconds, preview.keep_firing_for_seconds) == (200, 60, 0)
    waiting = client.get(page_url(preview)).content.decode()
    assert "Waiting for the worker" in waiting
    assert f'data-load="{page_url(preview)}"' in waiting
    fetched = {"X-Requested-With": "fetch"}
    assert "data-again" in client.get(page_url(preview), headers=fetched).content.decode()
    work.run_due()
    whole = client.get(page_url(preview)).content.decode()
    part = client.get(page_url(preview), headers=fetched).content.decode()
    for text in (whole, part):
        assert '<svg class="am-chart"' in text
        assert "<code>&gt; 200, for 1m</code>" in text
        assert "<code>&gt; 100, for 1m</code>" in text
        assert "dict_values" not in text
        assert "would not fire" in text
        assert "100 %" in text
    assert "data-load" not in whole
    assert "data-again" not in part
    assert "This preview cannot be trusted" not in whole
    page = client.get(reverse("admin:observability_alertrule_change", args=[rule.pk])).content.decode()
    assert page_url(preview) in page
    assert "Suggested threshold" in page


def test_a_preview_that_cannot_be_trusted_says_so_and_why(
    sign_in: Callable[..., Client], prometheus: Past, asked: Callable[..., RulePreview]
) -> None:
    prometheus.series[recorded()] = []
    preview = computed(asked())
    text = sign_in("viewer").get(page_url(preview)).content.decode()
    assert "This preview cannot be trusted." in text
    assert "The replay fires for 18 min for which Prometheus recorded nothing" in text


def test_why_there_is_no_preview_is_on_its_page(
    sign_in: Callable[..., Client], asked: Callable[..., RulePreview], settings: Any
) -> None:
    preview = asked()
    RulePreview.objects.update(state="failed", finished_at=timezone.now(), last_error="<b>Prometheus is away")
    text = sign_in("viewer").get(page_url(preview)).content.decode()
    assert "&lt;b&gt;Prometheus is away" in text


@pytest.mark.parametrize(
    ("field", "typed", "error"),
    [
        ("threshold", "high", "Enter a number."),
        ("threshold", "nan", "Enter a number."),
        ("threshold", "1e999", "Enter a number."),
        ("for", "soon", "Write a duration"),
        ("keep_firing_for", "31d", "Thirty days"),
        ("days", "2", "Select a valid choice"),
    ],
)
def test_what_cannot_be_tried_is_refused_beside_its_field(
    sign_in: Callable[..., Client], rule: AlertRule, field: str, typed: str, error: str
) -> None:
    typed_values = {"threshold": "200", "for": "1m", "keep_firing_for": "0", "days": "1", field: typed}
    answer = sign_in("responder").post(form_url(rule), typed_values)
    assert answer.status_code == 200
    assert error in str(answer.context["form"].errors[field])
    assert not RulePreview.objects.exists()


def test_only_alerting_rules_and_their_own_previews_have_pages(
    sign_in: Callable[..., Client], asked: Callable[..., RulePreview]
) -> None:
    client, preview = sign_in("viewer"), asked()
    record = AlertRule.objects.filter(kind="record").first()
    assert record is not None
    assert client.get(form_url(record)).status_code == 404
    other = reverse("admin:observability_alertrule_preview", args=[shipped().pk, preview.pk])
    assert client.get(other).status_code == 404
    assert sign_in("staff").get(form_url(preview.rule)).status_code == 403


def test_the_page_takes_as_many_queries_for_many_alerts_as_for_one(
    sign_in: Callable[..., Client], prometheus: Past, asked: Callable[..., RulePreview], end: float
) -> None:
    client = sign_in("viewer")
    real(end, 3)
    first = computed(asked())
    client.get(page_url(first))
    with CaptureQueriesContext(connection) as before:
        client.get(page_url(first))
    for hours in range(4, 20):
        real(end, hours)
    second = computed(asked(actor=first.asked_by))
    with CaptureQueriesContext(connection) as after:
        client.get(page_url(second))
    assert len(after) == len(before)
