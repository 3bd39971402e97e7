"""Operators tune shipped rules, and add, edit and end their own: the services, then the pages."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from observability.alerts.errors import (
    CannotTune,
    MayNotTune,
    ReasonMissing,
    RuleChangedMeanwhile,
    WrongRule,
)
from observability.models import AlertRule, RuleChange
from observability.rules.comparing import Line, sides, steps
from observability.rules.effective import effective_of
from observability.rules.own import Own, create_rule, edit_rule, end_rule
from observability.rules.render import duration_text
from observability.rules.tuning import NOTHING, Tuning, tune, tuning_of
from observability.tests import history
from observability.tests.prometheus_stand_in import PrometheusStandIn, success
from observability.tests.rule_changes import change, shipped
from observability.tests.vendors import Reply

pytestmark = pytest.mark.django_db

KEY = "DatabaseConnectionIssues/connections"  # sum by (job) (db_connections_active{job="amani"}) > 80
OWN = Own("QueueLong", "queue_length > 100", 300, 0, "warning", {"team": "x"}, "The queue is long.", "", "")
UNSPLIT = "its conditions are joined by `or`, each with a threshold of its own"


@pytest.fixture
def approver(operator: Callable[..., Any]) -> Any:
    return operator("approver")


@pytest.fixture(autouse=True)
def prometheus(settings: Any) -> Iterator[PrometheusStandIn]:
    stand_in = PrometheusStandIn()
    stand_in.replies["format_query"] = success("")
    settings.PROMETHEUS_URL = stand_in.url
    yield stand_in
    stand_in.close()


def tuned(actor: Any, tuning: Tuning, *, seen: int = 0, key: str = KEY, reason: str = "Why.") -> RuleChange:
    return tune(rule_id=shipped(key).pk, tuning=tuning, actor=actor, reason=reason, seen_version=seen)


# --- Tuning ---


def test_a_rule_is_tuned_with_its_author_its_reason_and_what_was_shipped(approver: Any) -> None:
    stored = tuned(approver, Tuning(threshold=120, for_seconds=600), reason=" Busy days. ")
    row = shipped(KEY)
    assert (stored.version, stored.kind, stored.actor, stored.reason) == (1, "tuned", approver, "Busy days.")
    assert stored.expression == 'sum by (job) (db_connections_active{job="amani"}) > 120'
    assert stored.base == row.base
    assert tuning_of(stored) == Tuning(threshold=120, for_seconds=600)
    assert (effective_of(row, stored).expression, effective_of(row, stored).for_seconds) == (
        stored.expression,
        600,
    )


def test_a_value_that_is_the_shipped_one_is_not_tuned(approver: Any) -> None:
    row = shipped(KEY)
    same = Tuning(80, 300, 0, row.severity, True, {}, row.annotations["runbook_url"])
    stored = tuned(approver, same._replace(keep_firing_for_seconds=60))
    assert tuning_of(stored) == Tuning(keep_firing_for_seconds=60)


def test_a_tuning_is_reset_by_one_without_values(approver: Any) -> None:
    tuned(approver, Tuning(enabled=False))
    assert tuning_of(tuned(approver, NOTHING, seen=1)) == NOTHING
    assert RuleChange.objects.count() == 2


@pytest.mark.parametrize(
    ("tuning", "field", "text"),
    [
        (Tuning(threshold=float("nan")), "threshold", "Enter a number."),
        (Tuning(for_seconds=-1), "for_seconds", "Use 0 to 365 days."),
        (Tuning(keep_firing_for_seconds=4e7), "keep_firing_for_seconds", "Use 0 to 365 days."),
        (Tuning(severity="loud"), "severity", "Amani knows no such severity."),
        (Tuning(labels={"service": "x"}), "labels", "The rule has the label service already"),
        (Tuning(labels={"severity": "x"}), "labels", "severity has a field of its own."),
        (Tuning(labels={"__x": "x"}), "labels", "is no name of a label"),
        (Tuning(labels={"x": ""}), "labels", "needs 1 to 200 characters"),
        (Tuning(labels={f"x{n}": "x" for n in range(21)}), "labels", "At most 20 labels."),
        (Tuning(runbook_url="javascript:alert(1)"), "runbook_url", "http:// or https://"),
    ],
)
def test_a_tuning_that_makes_no_sense_is_refused(
    approver: Any, tuning: Tuning, field: str, text: str
) -> None:
    with pytest.raises(WrongRule) as refused:
        tuned(approver, tuning)
    assert list(refused.value.fields) == [field]
    assert text in refused.value.fields[field][0]
    assert not RuleChange.objects.exists()


def test_a_rule_without_a_threshold_says_why_it_has_none(approver: Any) -> None:
    with pytest.raises(WrongRule, match=f"no threshold to replace: {UNSPLIT}"):
        tuned(approver, Tuning(threshold=1), key="HighErrorRate")
    assert tuned(approver, Tuning(for_seconds=1), key="HighErrorRate").expression == ""


def test_what_may_not_be_tuned(approver: Any, operator: Callable[..., Any]) -> None:
    with pytest.raises(MayNotTune):
        tuned(operator("responder"), Tuning(enabled=False))
    with pytest.raises(ReasonMissing):
        tuned(approver, Tuning(enabled=False), reason=" ")
    with pytest.raises(CannotTune, match="Only alerting rules"):
        tuned(approver, Tuning(enabled=False), key="instance:amani_http_errors:sum")
    with pytest.raises(CannotTune, match="Nothing differs"):
        tuned(approver, NOTHING)
    AlertRule.objects.filter(key=KEY).update(removed_at=shipped(KEY).added_at)
    with pytest.raises(CannotTune, match="no longer ships"):
        tuned(approver, Tuning(enabled=False))
    assert not RuleChange.objects.exists()


def test_the_second_of_two_operators_is_refused(approver: Any) -> None:
    tuned(approver, Tuning(threshold=100))
    with pytest.raises(RuleChangedMeanwhile):
        tuned(approver, Tuning(threshold=200))
    assert list(RuleChange.objects.values_list("version", "threshold")) == [(1, 100)]


@pytest.mark.django_db(transaction=True)
def test_of_operators_who_save_at_the_same_instant_one_is_stored(approver: Any) -> None:
    outcomes: list[str] = []
    start = threading.Barrier(4)

    def save(number: int) -> None:
        try:
            start.wait()
            tuned(approver, Tuning(for_seconds=number))
            outcomes.append("stored")
        except RuleChangedMeanwhile:
            outcomes.append("refused")
        finally:
            connection.close()

    threads = [threading.Thread(target=save, args=(number,)) for number in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["refused", "refused", "refused", "stored"]
    assert RuleChange.objects.count() == 1


def test_after_an_upgrade_the_same_tuning_can_be_confirmed(approver: Any) -> None:
    tuned(approver, Tuning(for_seconds=600))
    row = shipped(KEY)
    row.annotations = {**row.annotations, "summary": "Another text"}
    row.save()
    assert tuned(approver, Tuning(for_seconds=600), seen=1).base["annotations"]["summary"] == "Another text"
    with pytest.raises(CannotTune, match="Nothing differs"):
        tuned(approver, Tuning(for_seconds=600), seen=2)


# --- In words ---


def test_shipped_and_tuned_values_stand_side_by_side() -> None:
    row = shipped(KEY)
    stored = change(row, threshold=0.5, expression="x", enabled=False, labels={"team": "x", "a": "b"})
    found = {side.what: (side.shipped, side.tuned) for side in sides(row, stored)}
    assert found == {
        "threshold": ("> 80", "> 0.5"),
        "for": ("5m", ""),
        "keep firing for": ("0s", ""),
        "severity": (row.severity, ""),
        "state": ("enabled", "disabled"),
        "more labels": ("—", "a=b, team=x"),
        "runbook": (row.annotations["runbook_url"], ""),
    }


def test_each_change_says_what_differs_from_the_one_before() -> None:
    row = shipped(KEY)
    first = change(row, for_seconds=0, severity="info")
    second = change(row, for_seconds=90)
    assert [step.lines for step in steps(row, [second, first])] == [
        (Line("for", "0s", "1m30s"), Line("severity", "info", "as shipped")),
        (Line("for", "as shipped", "0s"), Line("severity", "as shipped", "info")),
    ]
    assert steps(row, []) == []


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (0.5, "500ms"), (90, "1m30s"), (5400, "1h30m"), (1_209_600, "14d")]
)
def test_times_are_written_as_prometheus_does(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


# --- Own rules ---


def test_an_own_rule_is_added_edited_ended_and_begun_again(approver: Any) -> None:
    rule = create_rule(own=OWN, actor=approver, reason="Needed.")
    assert (rule.group.name, rule.key, rule.position, rule.threshold) == ("operators", "QueueLong", 0, 100)
    assert rule.labels == {"severity": "warning", "team": "x"}
    assert rule.annotations == {"summary": "The queue is long."}
    edited = OWN._replace(expression="queue_length > 200", labels={"scope": "all"})
    rule = edit_rule(rule_id=rule.pk, own=edited, actor=approver, reason="More.", seen_version=1)
    assert (rule.key, rule.threshold, rule.scope) == ("QueueLong/all", 200, "all")
    rule = end_rule(rule_id=rule.pk, actor=approver, reason="Not needed.", seen_version=2)
    assert rule.removed_at is not None
    with pytest.raises(CannotTune, match="has ended already"):
        end_rule(rule_id=rule.pk, actor=approver, reason="Again.", seen_version=3)
    rule = edit_rule(rule_id=rule.pk, own=edited, actor=approver, reason="Needed again.", seen_version=3)
    assert rule.removed_at is None
    changes = list(RuleChange.objects.filter(rule=rule).order_by("-version"))
    assert [(step.change.kind, step.lines) for step in steps(rule, changes)] == [
        ("edited", ()),
        ("ended", ()),
        (
            "edited",
            (
                Line("expression", "queue_length > 100", "queue_length > 200"),
                Line("label scope", "—", "all"),
                Line("label team", "x", "—"),
            ),
        ),
        ("created", ()),
    ]


def test_own_rules_of_one_name_differ_by_their_scope(approver: Any) -> None:
    create_rule(own=OWN, actor=approver, reason="Needed.")
    with pytest.raises(WrongRule, match="There is an own rule QueueLong already"):
        create_rule(own=OWN, actor=approver, reason="Again.")
    other = create_rule(own=OWN._replace(labels={"scope": "b"}), actor=approver, reason="Another.")
    with pytest.raises(WrongRule, match="There is an own rule QueueLong already"):
        edit_rule(rule_id=other.pk, own=OWN, actor=approver, reason="Same.", seen_version=1)
    assert list(AlertRule.objects.filter(group__name="operators").values_list("key", "position")) == [
        ("QueueLong", 0),
        ("QueueLong/b", 1),
    ]


def test_an_expression_that_prometheus_refuses_is_not_stored(
    approver: Any, prometheus: PrometheusStandIn
) -> None:
    prometheus.replies["format_query"] = Reply(400, body='{"status": "error", "error": "1:3: parse error"}')
    with pytest.raises(WrongRule, match="Prometheus refuses it: 1:3: parse error"):
        create_rule(own=OWN, actor=approver, reason="Needed.")
    assert not AlertRule.objects.filter(group__name="operators").exists()


def test_a_valid_expression_that_the_parser_does_not_know_is_kept_unsplit(approver: Any) -> None:
    rule = create_rule(
        own=OWN._replace(expression="rate(a_total[5m] smoothed) > 1"), actor=approver, reason="Needed."
    )
    assert (rule.series, rule.comparison, rule.threshold) == ("", "", None)
    assert rule.unsplit_because == "promql-parser does not know it: invalid promql query"


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"name": "no name"}, "name"),
        ({"name": ""}, "name"),
        ({"expression": " "}, "expression"),
        ({"expression": "x" * 10_001}, "expression"),
        ({"severity": ""}, "severity"),
        ({"summary": ""}, "summary"),
        ({"for_seconds": -1}, "for_seconds"),
        ({"labels": {"alertname": "x"}}, "labels"),
        ({"runbook_url": "x"}, "runbook_url"),
    ],
)
def test_an_own_rule_that_makes_no_sense_is_refused(
    approver: Any, values: dict[str, Any], field: str
) -> None:
    with pytest.raises(WrongRule) as refused:
        create_rule(own=OWN._replace(**values), actor=approver, reason="Needed.")
    assert list(refused.value.fields) == [field]


def test_a_shipped_rule_is_not_edited_and_an_own_one_not_tuned(approver: Any) -> None:
    with pytest.raises(CannotTune, match="A release ships this rule"):
        end_rule(rule_id=shipped(KEY).pk, actor=approver, reason="No.", seen_version=0)
    rule = create_rule(own=OWN, actor=approver, reason="Needed.")
    with pytest.raises(CannotTune, match="Only alerting rules that a release ships"):
        tune(rule_id=rule.pk, tuning=Tuning(enabled=False), actor=approver, reason="No.", seen_version=1)
    with pytest.raises(RuleChangedMeanwhile):
        edit_rule(rule_id=rule.pk, own=OWN, actor=approver, reason="Late.", seen_version=0)


# --- The pages ---


@pytest.fixture
def client_of(sign_in: Callable[..., Client]) -> Client:
    return sign_in("approver")


def page_of(row: AlertRule) -> str:
    return reverse("admin:observability_alertrule_change", args=[row.pk])


def tune_url(row: AlertRule) -> str:
    return reverse("admin:observability_alertrule_tune", args=[row.pk])


def text_of(answer: Any) -> str:
    assert answer.status_code == 200
    return str(answer.content.decode())


FORM = {"threshold": "120", "holds": "10m", "reason": "Busy days.", "seen": "0"}


def test_a_rule_is_tuned_after_a_look_at_the_change(client_of: Client) -> None:
    row = shipped(KEY)
    assert "Shipped: &gt; 80. Empty: as shipped." in text_of(client_of.get(tune_url(row)))
    answer = client_of.post(tune_url(row), FORM)
    assert "Check the change" in text_of(answer)
    assert answer.context["lines"] == [
        Line("threshold", "as shipped", "> 120"),
        Line("for", "as shipped", "10m"),
        Line("expression", row.expression, row.expression.replace("80", "120")),
    ]
    assert not RuleChange.objects.exists()
    saved = client_of.post(tune_url(row), FORM | {"confirmed": "yes"})
    assert (saved.status_code, saved.headers["Location"]) == (303, page_of(row))
    page = text_of(client_of.get(page_of(row)))
    for shown in ("&gt; 120", f"{tune_url(row)}?reset=threshold", "Busy days.", "?reset=all"):
        assert shown in page
    assert "label" not in str(answer.context["relabels"])


def test_a_change_that_changes_nothing_is_not_put_up_for_confirmation(client_of: Client) -> None:
    row = shipped(KEY)
    page = text_of(client_of.post(tune_url(row), FORM | {"threshold": "", "holds": ""}))
    assert "Nothing differs from what holds now." in page
    assert "Check the change" not in page


def test_a_value_is_reset_on_its_own(client_of: Client) -> None:
    row = shipped(KEY)
    change(row, threshold=120, expression=row.expression.replace("80", "120"), for_seconds=0, severity="info")
    form = client_of.get(f"{tune_url(row)}?reset=threshold").context["form"]
    names = ("threshold", "holds", "severity", "seen")
    assert [form[name].value() for name in names] == [None, "0s", "info", 1]
    everything = client_of.get(f"{tune_url(row)}?reset=all").context["form"]
    assert [everything[name].value() for name in names] == [None, None, None, 1]


def test_the_second_operator_sees_what_the_first_changed(client_of: Client) -> None:
    row = shipped(KEY)
    change(row, for_seconds=1, reason="The first was here.")
    for form in (FORM, FORM | {"confirmed": "yes"}):
        answer = client_of.post(tune_url(row), form)
        text = text_of(answer)
        assert "another operator has changed the rule" in text
        assert "The first was here." in text
        assert 'name="seen" value="1"' in text
        assert answer.context["meanwhile"][0].lines == (Line("for", "as shipped", "1s"),)
        assert answer.context["form"]["threshold"].value() == "120"
    assert RuleChange.objects.count() == 1


@pytest.mark.parametrize(
    ("typed", "field"),
    [
        ({"holds": "soon"}, "holds"),
        ({"threshold": "much"}, "threshold"),
        ({"threshold": "nan"}, "threshold"),
        ({"labels": "team"}, "labels"),
        ({"labels": "a=1\na=2"}, "labels"),
        ({"labels": "severity=info"}, "labels"),
        ({"runbook_url": "x"}, "runbook_url"),
        ({"severity": "loud"}, "severity"),
        ({"reason": " "}, "reason"),
        ({"keeps_firing": "400d"}, "keeps_firing"),
    ],
)
def test_what_is_wrong_is_said_at_its_field(client_of: Client, typed: dict[str, str], field: str) -> None:
    answer = client_of.post(tune_url(shipped(KEY)), FORM | typed | {"confirmed": "yes"})
    assert answer.status_code == 200
    assert list(answer.context["form"].errors) == [field]
    assert not RuleChange.objects.exists()


def test_the_page_says_what_a_release_changed_since(client_of: Client) -> None:
    row = shipped(KEY)
    change(row, for_seconds=600, base=row.base | {"for_seconds": 60.0})
    page = client_of.get(page_of(row))
    assert "Changed by a release since it was tuned" in text_of(page)
    assert page.context["changed_by_release"] == [Line("for", "1m", "5m")]


def test_the_page_of_an_alert_shows_the_rule_as_tuned_and_that_it_changed_since(client_of: Client) -> None:
    row = shipped(KEY)
    alert = history.episode(alertname=row.name, labels={"alertname": row.name, **row.labels})
    change(row, threshold=120, expression=row.expression.replace("80", "120"), for_seconds=660)
    text = text_of(client_of.get(reverse("admin:observability_episode_change", args=[alert.pk])))
    assert "&gt; 120" in text
    assert "held for 11 min · changed since" in text
    row.refresh_from_db()
    assert row.for_seconds == 300


def test_an_own_rule_is_added_edited_and_ended_in_the_admin(client_of: Client) -> None:
    create = reverse("admin:observability_alertrule_create")
    assert "Add a rule" in text_of(client_of.get(create))
    form = {
        "name": "QueueLong",
        "expression": "queue_length > 100",
        "severity": "error",
        "summary": "The queue is long.",
        "reason": "Needed.",
        "seen": "0",
    }
    assert "queue_length &gt; 100" in text_of(client_of.post(create, form))
    assert client_of.post(create, form | {"confirmed": "yes"}).status_code == 303
    row = shipped("QueueLong")
    page = text_of(client_of.get(page_of(row)))
    assert "Added by operators" in page
    assert "End this rule" in page
    edited = form | {"expression": "queue_length > 5", "seen": "1", "confirmed": "yes"}
    assert client_of.post(tune_url(row), edited).status_code == 303
    assert shipped("QueueLong").threshold == 5
    again = text_of(client_of.post(tune_url(row), form | {"expression": "queue_length > 5", "seen": "2"}))
    assert "Nothing differs from what holds now." in again
    end = reverse("admin:observability_alertrule_end", args=[row.pk])
    client_of.post(end, {"reason": "Late.", "seen": "1"})
    assert shipped("QueueLong").removed_at is None
    client_of.post(end, {"reason": "Not needed.", "seen": "2"})
    assert shipped("QueueLong").removed_at is not None
    assert "Ended" in text_of(client_of.get(page_of(row)))


def test_without_the_permission_the_editor_is_read_only(sign_in: Callable[..., Client]) -> None:
    row = shipped(KEY)
    change(row, for_seconds=600)
    client = sign_in("responder")
    page = text_of(client.get(page_of(row)))
    assert "10m" in page
    assert tune_url(row) not in page
    assert client.get(tune_url(row)).status_code == 403
    assert client.post(tune_url(row), FORM | {"confirmed": "yes"}).status_code == 403
    assert RuleChange.objects.count() == 1


def test_the_list_marks_what_operators_changed(client_of: Client) -> None:
    change(shipped(KEY), for_seconds=600)
    change(shipped("Watchdog"), enabled=False)
    change(shipped("HighErrorRate"))
    url = reverse("admin:observability_alertrule_changelist")
    found = [row.key for row in client_of.get(f"{url}?which=tuned").context["cl"].result_list]
    assert found == [KEY, "Watchdog"]
    text = text_of(client_of.get(f"{url}?which=tuned"))
    assert "Tuned" in text
    assert "Disabled" in text
    with CaptureQueriesContext(connection) as queries:
        client_of.get(url)
    for row in AlertRule.objects.filter(kind="alert").exclude(key=KEY)[:20]:
        change(row, severity="info")
    with CaptureQueriesContext(connection) as more:
        client_of.get(url)
    assert len(more) == len(queries)


def test_before_it_is_saved_a_tuning_leads_to_its_preview(sign_in: Callable[..., Client]) -> None:
    row = shipped(KEY)
    answer = sign_in("approver").post(tune_url(row), FORM)
    form = reverse("admin:observability_alertrule_preview_form", args=[row.pk])
    assert answer.context["trying"] == f"{form}?threshold=120&for=10m&keep_firing_for=0s"
    assert "What would have happened with these values?" in answer.content.decode()
