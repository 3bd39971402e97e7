import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from observability.alerts import episodes, send_alert
from observability.alerts.delivery import drain
from observability.alerts.delivery.claim import claim, is_anything_due
from observability.models import Attempt, Channel, Delivery, Episode
from observability.notifiers import registry
from observability.tests.payloads import alert
from observability.tests.recorded import recording, trace_id_of
from observability.tests.samples import exemplars_of
from observability.tests.vendors import Reply, Vendor
from observability.tracing import get_tracer

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("channels")]
Post = Callable[..., Any]
CLOCKS_DIFFER_SECONDS = 0.05  # PostgreSQL's day and this process's monotonic time


def states(channel: str) -> list[tuple[str, str]]:
    rows = Delivery.objects.filter(channel=channel).order_by("id").values_list("kind", "state")
    return [(kind, state) for kind, state in rows]


def make_due(channel: str) -> None:
    """As if the backoff and the vendor's Retry-After were over."""
    past = timezone.now() - timedelta(seconds=1)
    Delivery.objects.filter(channel=channel, state="pending").update(next_attempt_at=past)
    Channel.objects.filter(pk=channel).update(next_slot_at=past)


def test_alert_reaches_slack_and_pagerduty_once(post_alerts: Post, slack: Vendor, pagerduty: Vendor) -> None:
    post_alerts(alert(1))
    assert (drain("slack"), drain("pagerduty")) == (1, 1)
    assert (drain("slack"), drain("pagerduty")) == (0, 0)
    assert states("slack") == states("pagerduty") == [("trigger", "delivered")]
    [event] = pagerduty.bodies()
    assert event["event_action"] == "trigger"
    assert event["dedup_key"] == Episode.objects.get().dedup_key
    assert "HighErrorRate" in str(slack.bodies())


def test_attempt_row_says_when_how_long_and_what_the_vendor_said(post_alerts: Post) -> None:
    post_alerts(alert(1))
    drain("slack")
    attempt = Attempt.objects.get()
    assert (attempt.number, attempt.outcome, attempt.http_status, attempt.response) == (
        1,
        "delivered",
        200,
        "ok",
    )
    assert attempt.duration_ms is not None
    assert attempt.next_attempt_at is None


def test_resolve_takes_the_same_way_with_the_same_key(post_alerts: Post, pagerduty: Vendor) -> None:
    post_alerts(alert(1))
    drain("pagerduty")
    post_alerts(alert(1, status="resolved"))
    drain("pagerduty")
    first, second = pagerduty.bodies()
    assert (first["event_action"], second["event_action"]) == ("trigger", "resolve")
    assert first["dedup_key"] == second["dedup_key"]


def test_no_trigger_leaves_after_the_resolve(post_alerts: Post, slack: Vendor, pagerduty: Vendor) -> None:
    post_alerts(alert(1))
    post_alerts(alert(1, status="resolved"))
    drain("pagerduty")
    drain("slack")
    assert pagerduty.bodies() == []
    assert states("pagerduty") == [("trigger", "superseded"), ("resolve", "superseded")]
    assert states("slack") == [("trigger", "superseded"), ("resolve", "delivered")]
    assert len(slack.bodies()) == 1


def test_late_retry_of_a_trigger_is_not_sent_once_the_alert_is_resolved(
    post_alerts: Post, pagerduty: Vendor
) -> None:
    pagerduty.replies = [Reply(500, "try again")]
    post_alerts(alert(1))
    drain("pagerduty")
    post_alerts(alert(1, status="resolved"))
    make_due("pagerduty")
    drain("pagerduty")
    assert [event["event_action"] for event in pagerduty.bodies()] == ["trigger"]
    assert states("pagerduty") == [("trigger", "superseded"), ("resolve", "superseded")]


def test_resolve_is_sent_when_the_trigger_may_have_arrived(post_alerts: Post, pagerduty: Vendor) -> None:
    pagerduty.replies = [Reply(reset=True)]
    post_alerts(alert(1))
    drain("pagerduty")
    post_alerts(alert(1, status="resolved"))
    make_due("pagerduty")
    drain("pagerduty")
    assert [event["event_action"] for event in pagerduty.bodies()] == ["trigger", "resolve"]


def test_resolve_waits_until_the_trigger_is_settled(post_alerts: Post, pagerduty: Vendor) -> None:
    pagerduty.replies = [Reply(500)]
    post_alerts(alert(1))
    drain("pagerduty")
    post_alerts(alert(1, status="resolved"))
    assert claim(registry.get("pagerduty"), slot=0) is None


@pytest.mark.parametrize(
    "reply", [Reply(500, "rollup_error"), Reply(503), Reply(hang=2.0), Reply(reset=True)]
)
def test_passing_failure_is_retried_at_a_stored_time_until_it_arrives(
    post_alerts: Post, slack: Vendor, reply: Reply
) -> None:
    slack.replies = [reply, reply]
    post_alerts(alert(severity="warning"))
    for _ in range(3):
        drain("slack")
        make_due("slack")
    assert states("slack") == [("trigger", "delivered")]
    first, second, third = Attempt.objects.order_by("number")
    assert first.next_attempt_at is not None
    assert (second.outcome in {"retry", "unknown"}, third.outcome) == (True, "delivered")


def test_an_attempt_that_fails_has_its_trace_beside_its_outcome(post_alerts: Post, slack: Vendor) -> None:
    slack.replies = [Reply(503)]
    post_alerts(alert(severity="warning"))
    traces = []
    for _ in range(2):
        with recording() as recorded:
            with get_tracer("test").start_as_current_span("run"):
                drain("slack")
            traces.append(trace_id_of(recorded.named("run")))
        make_due("slack")
    outcomes = {
        labels["outcome"]: trace_id
        for trace_id in traces
        for name, labels, _ in exemplars_of(trace_id)
        if name == "amani_alert_delivery_attempts_total"
    }
    assert outcomes == {"retry": traces[0], "delivered": traces[1]}


def test_retry_after_holds_the_whole_channel(post_alerts: Post, slack: Vendor) -> None:
    slack.replies = [
        Reply(429, '{"retry_after":30,"ok":false,"error":"rate_limited"}', {"Retry-After": "30"})
    ]
    post_alerts(alert(1, severity="warning"), alert(2, severity="warning"))
    before = timezone.now()
    drain("slack")
    assert len(slack.bodies()) == 1
    assert Channel.objects.get(pk="slack").next_slot_at >= before + timedelta(seconds=30)
    assert Attempt.objects.get().next_attempt_at >= before + timedelta(seconds=30)  # type: ignore[operator]


def test_permanent_refusal_ends_at_once_flags_the_channel_and_is_told_elsewhere(
    post_alerts: Post, slack: Vendor, pagerduty: Vendor
) -> None:
    slack.default = Reply(404, "no_service")
    post_alerts(alert(severity="warning"))
    drain("slack")
    drain("pagerduty")
    assert states("slack") == [("trigger", "failed")]
    assert Channel.objects.get(pk="slack").flag_reason == "404 no_service"
    [event] = pagerduty.bodies()
    assert "Slack" in event["payload"]["summary"]
    assert event["payload"]["severity"] == "critical"


def test_channel_that_works_again_loses_its_flag_and_the_word_is_resolved(
    post_alerts: Post, slack: Vendor, pagerduty: Vendor
) -> None:
    slack.replies = [Reply(404, "no_service")]
    post_alerts(alert(1, severity="warning"))
    drain("slack")
    drain("pagerduty")
    post_alerts(alert(2, severity="warning"))
    drain("slack")
    drain("pagerduty")
    assert Channel.objects.get(pk="slack").flagged_at is None
    assert [event["event_action"] for event in pagerduty.bodies()] == ["trigger", "resolve"]


def test_hundred_refused_deliveries_make_one_word_elsewhere(
    post_alerts: Post, slack: Vendor, pagerduty: Vendor, settings: Any
) -> None:
    settings.ALERT_DIGEST_THRESHOLD = 1000
    slack.default = Reply(403, "invalid_token")
    post_alerts(*[alert(number, severity="warning") for number in range(100)])
    drain("slack")
    drain("pagerduty")
    assert len(pagerduty.bodies()) == 1


def test_delivery_is_dead_after_the_time_to_give_up_and_that_is_told_elsewhere(
    post_alerts: Post, slack: Vendor, pagerduty: Vendor, settings: Any
) -> None:
    settings.ALERT_GIVE_UP_AFTER_SECONDS = 0
    slack.default = Reply(500)
    post_alerts(alert(severity="warning"))
    drain("slack")
    drain("pagerduty")
    delivery = Delivery.objects.get(channel="slack")
    assert (delivery.state, delivery.reason[:9]) == ("dead", "Given up:")
    assert len(pagerduty.bodies()) == 1


def test_channel_without_address_is_off_and_says_so(post_alerts: Post, settings: Any) -> None:
    settings.SLACK_WEBHOOK_URL = ""
    post_alerts(alert(severity="warning"))
    drain("slack")
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.reason) == ("off", "Slack is off: its address or key is not set.")
    assert delivery.attempt_count == 0


def test_pages_go_before_updates(post_alerts: Post, slack: Vendor) -> None:
    post_alerts(alert(1, severity="warning"))
    drain("slack")
    post_alerts(alert(1, status="resolved", severity="warning"))
    post_alerts(alert(2, severity="critical"))
    drain("slack")
    kinds = [delivery.kind for delivery in Delivery.objects.filter(channel="slack").order_by("finished_at")]
    assert kinds == ["trigger", "trigger", "resolve"]


def test_storm_becomes_a_few_digests_that_name_every_alert(post_alerts: Post, slack: Vendor) -> None:
    post_alerts(*[alert(number, severity="warning") for number in range(300)])
    drain("slack")
    said = "".join(str(body) for body in slack.bodies())
    assert len(slack.bodies()) <= 3
    assert [number for number in range(300) if f"web-{number}" not in said] == []
    assert set(Delivery.objects.exclude(kind="digest").values_list("state", flat=True)) == {"delivered"}


def test_digest_that_is_refused_takes_its_members_with_it(post_alerts: Post, slack: Vendor) -> None:
    slack.default = Reply(404, "no_service")
    post_alerts(*[alert(number, severity="warning") for number in range(10)])
    drain("slack")
    assert set(Delivery.objects.filter(channel="slack").values_list("state", flat=True)) == {"failed"}


def test_digest_is_retried_as_one(post_alerts: Post, slack: Vendor) -> None:
    slack.replies = [Reply(500)]
    post_alerts(*[alert(number, severity="warning") for number in range(10)])
    drain("slack")
    assert set(Delivery.objects.exclude(kind="digest").values_list("state", flat=True)) == {"digested"}
    make_due("slack")
    drain("slack")
    assert set(Delivery.objects.values_list("state", flat=True)) == {"delivered"}
    assert len(slack.bodies()) == 2


def test_pace_lets_one_message_a_second_through(post_alerts: Post, slack: Vendor, settings: Any) -> None:
    settings.SLACK_MESSAGES_PER_SECOND = 2
    post_alerts(*[alert(number, severity="warning") for number in range(3)])
    began = time.monotonic()
    drain("slack")
    assert len(slack.received) == 3
    for number, received in enumerate(slack.received):
        assert received.at - began > number / 2 - CLOCKS_DIFFER_SECONDS


def test_pagerduty_burst_stays_within_its_limit_in_any_minute(settings: Any) -> None:
    settings.PAGERDUTY_EVENTS_PER_MINUTE = 120
    pace = registry.get("pagerduty").pace()
    assert round(pace.burst + 60 / pace.interval) == 120


def test_killed_workers_delivery_is_taken_over_by_the_next_holder_of_its_slot(
    post_alerts: Post, slack: Vendor
) -> None:
    post_alerts(alert(severity="warning"))
    Channel.objects.get_or_create(name="slack")
    claimed = claim(registry.get("slack"), slot=0)  # and its worker dies here
    assert isinstance(claimed, Delivery)
    drain("slack")
    assert states("slack") == [("trigger", "delivered")]
    outcomes = list(Attempt.objects.order_by("number").values_list("number", "outcome"))
    assert outcomes == [(1, "unknown"), (2, "delivered")]


def test_alert_that_cannot_be_worded_is_recorded_and_does_not_stop_the_others(
    post_alerts: Post, slack: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = type(registry.get("slack")).request_for

    def fail_for_first(self: Any, message: Any) -> Any:
        if message.alert.labels["instance"] == "web-1":
            raise KeyError("bug")
        return original(self, message)

    monkeypatch.setattr(type(registry.get("slack")), "request_for", fail_for_first)
    post_alerts(alert(1, severity="warning"), alert(2, severity="warning"))
    drain("slack")
    assert sorted(states("slack")) == [("trigger", "delivered"), ("trigger", "pending")]
    assert Attempt.objects.get(delivery__state="pending").response == "Internal error: KeyError."


def test_response_is_kept_without_the_secret_and_cut_off(post_alerts: Post, slack: Vendor) -> None:
    slack.default = Reply(500, f"{slack.url} " + "x" * 5000)
    post_alerts(alert(severity="warning"))
    drain("slack")
    response = Attempt.objects.get().response
    assert slack.url not in response
    assert len(response) <= 2000


def test_message_from_code_goes_the_same_way(slack: Vendor) -> None:
    send_alert("Payout file is late", severity="warning", context={"bank": "GTB"})
    drain("slack")
    assert "Payout file is late" in str(slack.bodies())
    assert "GTB" in str(slack.bodies())


def test_acknowledgement_is_mirrored_to_pagerduty(
    post_alerts: Post, pagerduty: Vendor, django_user_model: Any
) -> None:
    post_alerts(alert(1))
    drain("pagerduty")
    actor = django_user_model.objects.create_user("ada@example.com")
    episodes.acknowledge(episode_id=Episode.objects.get().pk, actor=actor)
    drain("pagerduty")
    assert [event["event_action"] for event in pagerduty.bodies()] == ["trigger", "acknowledge"]


def test_claims_take_what_is_due_in_the_order_in_which_it_is_due(post_alerts: Post) -> None:
    post_alerts(*[alert(number, severity="critical") for number in range(4)])
    post_alerts(*[alert(number, severity="critical", status="resolved") for number in range(2)])
    rows = list(Delivery.objects.filter(channel="pagerduty", kind="trigger").order_by("id"))
    now = timezone.now()
    Delivery.objects.filter(pk=rows[0].pk).update(next_attempt_at=now + timedelta(hours=1))
    Delivery.objects.filter(pk=rows[1].pk).update(state="sending", lease_until=now - timedelta(seconds=1))
    Delivery.objects.filter(pk=rows[2].pk).update(state="sending", lease_until=now + timedelta(hours=1))
    claimed = []
    while isinstance(delivery := claim(registry.get("pagerduty"), slot=0), Delivery):
        claimed.append(delivery.pk)
    assert claimed == [rows[1].pk, rows[3].pk]
    assert not is_anything_due("pagerduty")
