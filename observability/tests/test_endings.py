"""How an alert ended: what a resolve says, and when an incident stays open."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from html import unescape
from typing import Any
from urllib.parse import quote

import pytest
from django.test import Client
from django.utils import timezone

from observability.alerts import confirming, endings, reopening
from observability.alerts.delivery import drain
from observability.alerts.endings.conditions import Condition, conditions_of
from observability.models import AlertRule, Delivery, Episode, EpisodeEvent, Heartbeat, RuleGroup
from observability.tests.monitoring_stand_in import MonitoringStandIn
from observability.tests.payloads import alert
from observability.tests.vendors import Vendor

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("channels")]
Post = Callable[..., Any]

ERRORS = "sum by (job) (rate(errors_total[5m]))"
EXPRESSION = f"{ERRORS} > 0.05"


def link_of(expression: str, base: str = "http://prometheus:9090") -> str:
    return f"{base}/graph?g0.expr={quote(expression)}&g0.tab=1"


@pytest.fixture
def prometheus(monitoring: MonitoringStandIn) -> MonitoringStandIn:
    """It has answered, has the rule of the alerts loaded, and a value for the alert of `fire`."""
    Heartbeat.beat(Heartbeat.WATCHDOG)
    confirming.check_prometheus(timezone.now())
    load(monitoring, EXPRESSION)
    monitoring.values[ERRORS] = [({"job": "amani"}, "0.0123"), ({"job": "other"}, "9")]
    return monitoring


def load(monitoring: MonitoringStandIn, expression: str, **more: Any) -> None:
    monitoring.rules["HighErrorRate"] = (timezone.now(), [])
    monitoring.loaded["HighErrorRate"] = {"query": expression, **more}


def end(post_alerts: Post, expression: str = EXPRESSION, **changes: Any) -> Episode:
    """One alert fires and is notified, ends, and its end is notified."""
    changes.setdefault("generatorURL", link_of(expression))
    post_alerts(alert(1, **changes))
    drain("slack")
    drain("pagerduty")
    post_alerts(alert(1, status="resolved", **changes))
    drain("slack")
    drain("pagerduty")
    return Episode.objects.get()


def told(slack: Vendor) -> tuple[str, str]:
    """The title and the first paragraph of the last message."""
    blocks = slack.bodies()[-1]["blocks"]
    return blocks[0]["text"]["text"], unescape(blocks[2]["text"]["text"])


def actions(pagerduty: Vendor) -> list[str]:
    return [event["event_action"] for event in pagerduty.bodies()]


def own_rule(**changes: Any) -> AlertRule:
    fields: dict[str, Any] = {"key": "HighErrorRate", "name": "HighErrorRate", "expression": EXPRESSION}
    group = RuleGroup.objects.create(name="test", file="test.yml")
    return AlertRule.objects.create(group=group, kind="alert", position=0, **(fields | changes))


def test_a_resolve_gives_the_value_at_the_end_and_the_threshold(
    prometheus: MonitoringStandIn, post_alerts: Post, slack: Vendor, pagerduty: Vendor
) -> None:
    episode = end(post_alerts)
    assert told(slack) == (
        "✅ RESOLVED (critical): HighErrorRate",
        "Value at its end: 0.0123 (the rule fires at > 0.05).",
    )
    assert (episode.ending, episode.ending_value, episode.ending_condition) == (
        "recovered",
        0.0123,
        "> 0.05",
    )
    assert actions(pagerduty) == ["trigger", "resolve"]


def test_the_value_is_that_of_the_time_at_which_the_alert_ended(
    prometheus: MonitoringStandIn, post_alerts: Post
) -> None:
    end(post_alerts)
    [asked] = [path for path in prometheus.asked if "errors_total" in path]
    assert asked.endswith("&time=1795403400.000")  # 2026-11-23 03:10:00 UTC


def test_both_channels_say_the_same_and_the_timeline_once(
    prometheus: MonitoringStandIn, post_alerts: Post
) -> None:
    episode = end(post_alerts)
    [event] = episode.events.filter(kind=EpisodeEvent.Kind.ENDING)
    assert event.text == "Value at its end: 0.0123 (the rule fires at > 0.05)."


NOT_SEEN = "Nothing shows that the problem is over."
Break = Callable[[MonitoringStandIn], Any]


def change_without_values(prometheus: MonitoringStandIn) -> None:
    load(prometheus, f"{ERRORS} > 0.5")
    prometheus.unanswered.add(ERRORS)


NOT_WELL: list[tuple[str, Break, str]] = [
    (
        "vanished",
        lambda it: it.values.update({ERRORS: [({"job": "other"}, "9")]}),
        f"The series is no longer there: no target reports it. {NOT_SEEN}",
    ),
    (
        "not_measured",
        lambda it: it.values.update({ERRORS: [({"job": "amani"}, "NaN")]}),
        f"The value is not a number any more: there was nothing to measure. {NOT_SEEN}",
    ),
    (
        "still_holds",
        lambda it: it.values.update({ERRORS: [({"job": "amani"}, "0.4")]}),
        (
            "Value at its end: 0.4 (the rule fires at > 0.05). The value still meets the rule's condition "
            f"> 0.05. {NOT_SEEN}"
        ),
    ),
    (
        "rule_gone",
        lambda it: it.rules.clear(),
        f"The rule is no longer loaded: it was deleted, disabled or renamed. {NOT_SEEN}",
    ),
    (
        "rule_changed",
        lambda it: load(it, f"{ERRORS} > 0.5"),
        (
            "The rule's expression was changed while the alert fired. By the new one: value at its end: "
            "0.0123 (the rule fires at > 0.5)."
        ),
    ),
    (
        "rule_changed",
        lambda it: load(it, EXPRESSION, labels={"severity": "warning"}),
        f"The rule was changed while the alert fired. {NOT_SEEN}",
    ),
    (
        "rule_changed",
        change_without_values,
        f"The rule was changed while the alert fired. {NOT_SEEN}",
    ),
    (
        "rule_broken",
        lambda it: load(it, EXPRESSION, health="err"),
        f"Prometheus cannot evaluate the rule. {NOT_SEEN}",
    ),
]


@pytest.mark.parametrize(("ending", "change", "text"), NOT_WELL)
def test_what_ended_without_recovery_is_told_as_what_happened_and_leaves_the_incident_open(
    prometheus: MonitoringStandIn,
    post_alerts: Post,
    slack: Vendor,
    pagerduty: Vendor,
    ending: str,
    change: Break,
    text: str,
) -> None:
    change(prometheus)
    episode = end(post_alerts)
    assert told(slack) == ("❔ NO LONGER FIRING (critical): HighErrorRate", text)
    assert episode.ending == ending
    assert actions(pagerduty) == ["trigger"]
    left_open = episode.deliveries.get(channel="pagerduty", kind="resolve")
    assert (left_open.state, left_open.reason) == (
        "superseded",
        f"The incident stays open: {text} Send this again to close it.",
    )


def test_an_incident_that_stayed_open_is_closed_by_an_operator_who_sends_its_resolve_again(
    prometheus: MonitoringStandIn,
    post_alerts: Post,
    pagerduty: Vendor,
    sign_in: Callable[..., Client],
) -> None:
    prometheus.values[ERRORS] = []
    episode = end(post_alerts)
    left_open = episode.deliveries.get(channel="pagerduty", kind="resolve")
    browser = sign_in("responder")
    page = browser.get(f"/admin/observability/episode/{episode.pk}/change/").content.decode()
    assert "Ended, not seen to recover" in page
    assert "Its incident in PagerDuty stays open until you close it there" in page
    browser.post(
        f"/admin/observability/delivery/{left_open.pk}/resend/", {"reason": "The host was taken away."}
    )
    drain("pagerduty")
    assert actions(pagerduty) == ["trigger", "resolve"]


def test_an_alert_that_ended_by_another_condition_of_its_rule_has_recovered_and_says_so(
    prometheus: MonitoringStandIn, post_alerts: Post, slack: Vendor, pagerduty: Vendor
) -> None:
    guarded = f"{EXPRESSION} and sum by (job) (rate(requests_total[5m])) > 20"
    load(prometheus, guarded)
    prometheus.values[ERRORS] = [({"job": "amani"}, "0.4")]
    end(post_alerts, guarded)
    assert told(slack) == (
        "✅ RESOLVED (critical): HighErrorRate",
        (
            "Value at its end: 0.4 (the rule fires at > 0.05). The value still meets > 0.05, but another "
            "condition of the rule no longer holds."
        ),
    )
    assert actions(pagerduty) == ["trigger", "resolve"]


def test_without_an_answer_the_resolve_says_that_the_value_is_not_known(
    prometheus: MonitoringStandIn, post_alerts: Post, slack: Vendor, pagerduty: Vendor
) -> None:
    prometheus.prometheus_answers = False
    episode = end(post_alerts)
    assert told(slack) == (
        "✅ RESOLVED (critical): HighErrorRate",
        "Value at its end: not known, because Prometheus did not answer.",
    )
    assert episode.ending == "no_answer"
    assert actions(pagerduty) == ["trigger", "resolve"]


def test_a_prometheus_that_was_silent_lately_delays_no_message(
    prometheus: MonitoringStandIn, post_alerts: Post
) -> None:
    """Where none has ever answered, a resolve is accepted unchecked."""
    Heartbeat.objects.filter(pk=Heartbeat.PROMETHEUS).update(last_seen_at=None)
    prometheus.asked.clear()
    assert end(post_alerts).ending == "no_answer"
    assert prometheus.asked == []


def test_an_alert_of_another_prometheus_or_sender_is_resolved_on_the_word_of_alertmanager(
    prometheus: MonitoringStandIn, post_alerts: Post, slack: Vendor, pagerduty: Vendor
) -> None:
    end(post_alerts, labels={"alertname": "DiskIsFull", "severity": "critical"})
    assert told(slack) == (
        "✅ RESOLVED (critical): DiskIsFull",
        "Value at its end: not known, because Prometheus has no rule of this name.",
    )
    assert actions(pagerduty) == ["trigger", "resolve"]


def test_a_rule_that_amani_does_not_ship_is_known_as_gone_by_the_link_of_its_alert(
    prometheus: MonitoringStandIn, post_alerts: Post
) -> None:
    labels = {"alertname": "DiskIsFull", "severity": "critical"}
    link = link_of(EXPRESSION, prometheus.url)
    assert end(post_alerts, labels=labels, generatorURL=link).ending == "rule_gone"


def test_a_rule_without_a_threshold_says_so(
    prometheus: MonitoringStandIn, post_alerts: Post, slack: Vendor
) -> None:
    load(prometheus, "absent(up)")
    end(post_alerts, "absent(up)")
    assert told(slack) == (
        "✅ RESOLVED (critical): HighErrorRate",
        "Value at its end: not known, because its rule compares nothing with a number.",
    )


def test_several_series_that_match_have_no_single_value(
    prometheus: MonitoringStandIn, post_alerts: Post
) -> None:
    """A label that tells them apart was dropped on the way to Alertmanager."""
    replicas: list[tuple[Mapping[str, str], str]] = [
        ({"job": "amani", "replica": name}, "0.01") for name in "ab"
    ]
    prometheus.values[ERRORS] = replicas
    episode = end(post_alerts)
    assert (episode.ending, episode.ending_value) == ("recovered", None)
    assert endings.sentence(episode) == (
        "Value at its end: not known, because several series match (the rule fires at > 0.05)."
    )


def test_a_changed_rule_is_known_by_its_row_where_the_alert_has_no_link(
    prometheus: MonitoringStandIn, post_alerts: Post
) -> None:
    own_rule(added_at=timezone.now() - timedelta(days=900), changed_at=timezone.now())
    assert end(post_alerts, generatorURL="").ending == "rule_changed"


def test_a_storm_of_resolves_asks_prometheus_once_for_its_rules_and_once_for_the_values(
    prometheus: MonitoringStandIn, post_alerts: Post, slack: Vendor
) -> None:
    link = link_of(EXPRESSION)
    numbers = range(20)
    post_alerts(*[alert(number, severity="warning", generatorURL=link) for number in numbers])
    drain("slack")
    half_gone: list[tuple[Mapping[str, str], str]] = [
        ({"job": "amani", "instance": f"web-{number}"}, "0.01") for number in range(10)
    ]
    prometheus.values[ERRORS] = half_gone
    prometheus.asked.clear()
    post_alerts(
        *[alert(number, severity="warning", generatorURL=link, status="resolved") for number in numbers]
    )
    drain("slack")
    asked = [path.partition("?")[0] for path in prometheus.asked]
    assert asked == ["/api/v1/rules", "/api/v1/query"]
    assert told(slack)[0] == (
        "❔ NO LONGER FIRING (warning): 10 alerts no longer firing, not seen to recover, 10 resolved"
    )
    assert Episode.objects.filter(ending="vanished").count() == 10


def test_an_alert_that_fires_again_has_no_ending_any_more(
    prometheus: MonitoringStandIn, post_alerts: Post
) -> None:
    episode = end(post_alerts)
    reopening.reopen(episode.pk, timezone.now(), "It fires again.")
    episode.refresh_from_db()
    assert (episode.ending, episode.ending_value, episode.ending_condition) == ("", None, "")
    assert Delivery.objects.filter(kind="trigger", round=1).count() == 2


# --- Reading expressions ---

CONDITIONS: dict[str, list[tuple[str, str, float, bool]]] = {
    "up == 0": [("up", "==", 0, True)],
    'up{job=~"\\\\d+"} == (0)': [('up{job=~"\\\\d+"}', "==", 0, True)],
    "0.5 < up": [("up", ">", 0.5, True)],
    "memory > 1024 * 1024": [("memory", ">", 1_048_576, True)],
    "(a / b) < -1 unless c": [("(a / b)", "<", -1, False)],
    "a > 1 and b > 2 or (c >= 3)": [("a", ">", 1, False), ("c", ">=", 3, True)],
    "up == 0 or absent(up)": [("up", "==", 0, True)],
    "absent(up)": [],
    "a > bool 1": [],
    "a > b or c > 1": [],
    "a >": [],
    f"{'a' * 2_000} > 1": [],
}


def test_each_condition_of_an_expression_is_found() -> None:
    found = {expression: list(conditions_of(expression)) for expression in CONDITIONS}
    expected = {
        expression: [Condition(*each) for each in conditions] for expression, conditions in CONDITIONS.items()
    }
    assert found == expected
