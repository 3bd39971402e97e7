"""What an attempt leaves behind, to the last field: its row, the delivery, the channel and the metrics."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from observability.alerts.delivery import drain
from observability.models import Attempt, Channel, Delivery
from observability.tests.payloads import alert
from observability.tests.samples import Change
from observability.tests.vendors import Reply, Vendor

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("channels")]
Post = Callable[..., Any]
NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
RETRY_AFTER_30 = Reply(429, "slow", {"Retry-After": "30"})


@pytest.fixture
def planned(post_alerts: Post) -> Delivery:
    """A page of Slack, planned at NOW."""
    post_alerts(alert(1, severity="warning"))
    Delivery.objects.update(created_at=NOW, next_attempt_at=NOW)
    Channel.objects.update(next_slot_at=NOW)
    return Delivery.objects.get()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch, planned: Delivery) -> None:
    """It is NOW, and stays so."""
    monkeypatch.setattr(timezone, "now", lambda: NOW)


@pytest.fixture
def jitter(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """`jitter(True)` makes the next waits as long as they can be, `jitter(False)` as short."""

    def use(longest: bool) -> None:
        monkeypatch.setattr("random.uniform", lambda low, high: high if longest else low)

    return use


def wait_after(attempts: int, reply: Reply, slack: Vendor) -> float:
    """Seconds until the next attempt after the attempt of that number."""
    Delivery.objects.update(attempt_count=attempts - 1)
    slack.replies = [reply]
    drain("slack")
    attempt = Attempt.objects.get()
    delivery = Delivery.objects.get()
    assert attempt.next_attempt_at is not None
    assert (attempt.number, delivery.next_attempt_at) == (attempts, attempt.next_attempt_at)
    return (attempt.next_attempt_at - NOW).total_seconds()


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize(
    ("attempts", "longest"), [(1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (12, 60), (2000, 60)]
)
@pytest.mark.parametrize("share", [1.0, 0.5])
def test_wait_doubles_up_to_a_minute_and_jitter_takes_at_most_half(
    slack: Vendor, jitter: Callable[[bool], None], attempts: int, longest: int, share: float
) -> None:
    jitter(share == 1.0)
    assert wait_after(attempts, Reply(500), slack) == longest * share


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize(("attempts", "seconds"), [(1, 30), (7, 60)])
def test_wish_of_the_vendor_counts_when_it_is_longer(
    slack: Vendor, jitter: Callable[[bool], None], attempts: int, seconds: int
) -> None:
    jitter(True)
    assert wait_after(attempts, RETRY_AFTER_30, slack) == seconds


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize(
    ("age", "state", "reason"),
    [(timedelta(0), "pending", "500 sorry"), (timedelta(microseconds=1), "dead", "Given up: 500 sorry")],
)
def test_delivery_is_given_up_when_the_next_attempt_would_come_too_late(
    slack: Vendor,
    jitter: Callable[[bool], None],
    settings: Any,
    age: timedelta,
    state: str,
    reason: str,
) -> None:
    jitter(True)
    settings.ALERT_GIVE_UP_AFTER_SECONDS = 1
    Delivery.objects.update(created_at=NOW - age)
    slack.replies = [Reply(500, "sorry")]
    drain("slack")
    delivery = Delivery.objects.get(channel="slack")
    assert (delivery.state, delivery.reason) == (state, reason)
    assert delivery.finished_at == (NOW if state == "dead" else None)
    assert Attempt.objects.get().next_attempt_at == (NOW + SECOND if state == "pending" else None)


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize(
    ("reply", "outcome", "status", "state", "response"),
    [
        (Reply(200, "ok"), "delivered", 200, "delivered", "ok"),
        (Reply(404, "no_service"), "rejected", 404, "failed", "no_service"),
        (Reply(500, "sorry"), "retry", 500, "pending", "sorry"),
        (Reply(reset=True), "unknown", None, "pending", "No answer: "),
    ],
)
def test_attempt_is_written_down_with_its_outcome(
    slack: Vendor, reply: Reply, outcome: str, status: int | None, state: str, response: str
) -> None:
    change = Change("amani_alert_delivery_attempts_total", channel="slack", outcome=outcome)
    slack.replies = [reply]
    drain("slack")
    attempt, delivery = Attempt.objects.get(), Delivery.objects.get(channel="slack")
    assert (attempt.number, attempt.at, attempt.outcome) == (1, NOW, outcome)
    assert attempt.http_status == status
    assert attempt.response.startswith(response)
    assert attempt.duration_ms is not None
    assert 0 <= attempt.duration_ms < 60_000
    assert (delivery.state, delivery.attempt_count) == (state, 1)
    assert (delivery.lease_until, delivery.claim_slot) == (None, None)
    assert delivery.finished_at == (None if state == "pending" else NOW)
    assert (delivery.next_attempt_at > NOW) == (state == "pending")
    assert change() == 1


@pytest.mark.usefixtures("clock")
def test_answer_that_repeats_the_address_is_kept_without_it(slack: Vendor, settings: Any) -> None:
    slack.replies = [Reply(400, f"no such hook: {settings.SLACK_WEBHOOK_URL}")]
    drain("slack")
    assert settings.SLACK_WEBHOOK_URL not in Attempt.objects.get().response
    assert settings.SLACK_WEBHOOK_URL not in Delivery.objects.get(channel="slack").reason


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize(
    ("reply", "held_seconds"), [(RETRY_AFTER_30, 30), (Reply(500), 0), (Reply(404), 0), (Reply(), 0)]
)
def test_only_a_wish_of_the_vendor_holds_the_channel(
    slack: Vendor, reply: Reply, held_seconds: float
) -> None:
    slack.replies = [reply]
    drain("slack")
    assert Channel.objects.get(pk="slack").next_slot_at == NOW + held_seconds * SECOND
    assert Channel.objects.get(pk="pagerduty").next_slot_at == NOW


def test_no_burst_leaves_into_the_pause_that_the_vendor_asked_for(
    post_alerts: Post, pagerduty: Vendor, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    post_alerts(alert(1))
    Delivery.objects.update(created_at=NOW, next_attempt_at=NOW)
    Channel.objects.update(next_slot_at=NOW)
    monkeypatch.setattr(timezone, "now", lambda: NOW)
    settings.PAGERDUTY_EVENTS_PER_MINUTE = 24  # 2 at once, then one every 60 / 22 seconds
    pagerduty.replies = [Reply(500, "", {"Retry-After": "60"})]
    drain("pagerduty")
    held = Channel.objects.get(pk="pagerduty").next_slot_at - NOW
    assert held.total_seconds() == pytest.approx(60 + 60 / 22)


@pytest.mark.usefixtures("clock")
def test_delivery_that_is_not_sent_gives_back_its_attempt_and_its_slot(settings: Any) -> None:
    settings.SLACK_WEBHOOK_URL = ""
    settings.SLACK_MESSAGES_PER_SECOND = 2
    change = Change("amani_alert_deliveries_total", channel="slack", outcome="off")
    drain("slack")
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.attempt_count, delivery.finished_at) == ("off", 0, NOW)
    assert (delivery.lease_until, delivery.claim_slot) == (None, None)
    assert Channel.objects.get(pk="slack").next_slot_at == NOW
    assert not Attempt.objects.exists()
    assert change() == 1


def test_only_a_page_that_arrived_counts_for_the_time_to_notify(post_alerts: Post, slack: Vendor) -> None:
    latencies = [
        Change("amani_alert_delivery_latency_seconds_count", channel="slack", since=since)
        for since in ("start", "intake")
    ]
    slack.replies = [Reply(404)]
    post_alerts(alert(1, severity="warning"))
    drain("slack")
    assert [change() for change in latencies] == [0, 0]
    post_alerts(alert(2, severity="warning"))
    drain("slack")
    post_alerts(alert(2, status="resolved", severity="warning"))
    drain("slack")
    assert [change() for change in latencies] == [1, 1]


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("age", [0, 7])
def test_time_to_notify_is_counted_from_the_start_and_from_the_intake(slack: Vendor, age: int) -> None:
    delivery = Delivery.objects.select_related("episode").get()
    assert delivery.episode is not None
    Delivery.objects.update(created_at=NOW - age * SECOND)
    sums = [
        Change("amani_alert_delivery_latency_seconds_sum", channel="slack", since=since)
        for since in ("start", "intake")
    ]
    drain("slack")
    since_start = (NOW - delivery.episode.starts_at).total_seconds()
    assert [change() for change in sums] == pytest.approx([since_start, age])


@pytest.mark.parametrize(
    ("reply", "state", "reason"),
    [(Reply(), "delivered", ""), (Reply(404, "no_service"), "failed", " 404 no_service")],
)
def test_members_end_with_their_digest(
    post_alerts: Post, slack: Vendor, reply: Reply, state: str, reason: str
) -> None:
    change = Change("amani_alert_deliveries_total", channel="slack", outcome=state)
    slack.default = reply
    post_alerts(*[alert(number, severity="warning") for number in range(10)])
    drain("slack")
    digest = Delivery.objects.get(kind="digest")
    members = Delivery.objects.filter(digest=digest)
    assert members.count() == 10
    assert set(members.values_list("state", "reason", "finished_at")) == {
        (state, f"In digest {digest.pk}.{reason}", digest.finished_at)
    }
    assert change() == 10
