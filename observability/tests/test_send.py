"""One attempt: whether the message is still needed, what it says, and what its outcome is."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import OperationalError

from core import outgoing
from core.outgoing import Answer, ConnectFailed, OutcomeUnknown
from observability.alerts.delivery import send as sending
from observability.alerts.delivery.facts import facts_of
from observability.alerts.delivery.send import AttemptResult, NotSent, send
from observability.models import Attempt, Delivery, Episode
from observability.notifiers import registry
from observability.notifiers.base import Delivered, Kind, Message, Rejected, RetryLater
from observability.tests.vendors import Reply, Vendor

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("channels")]

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
RESOLVED = {"status": "resolved", "resolved_at": NOW}
SLACK, PAGERDUTY = registry.get("slack"), registry.get("pagerduty")


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second passes each time that the monotonic clock of `send` is read."""
    seconds = iter(range(100, 200))
    monkeypatch.setattr(sending, "time", type("Clock", (), {"monotonic": lambda: float(next(seconds))}))


def episode(**changes: Any) -> Episode:
    number = Episode.objects.count()
    fields = {"status": "firing", "severity": "critical", "alertname": "Down", "starts_at": NOW}
    return Episode.objects.create(
        fingerprint=f"{number:016x}", dedup_key=f"amani-{number}", **fields | changes
    )


def planned(of: Episode | None, **changes: Any) -> Delivery:
    fields = {"channel": "slack", "kind": "trigger", "severity": "critical", "priority": 0}
    return Delivery.objects.create(episode=of, **fields | {"state": "sending"} | changes)


def sent(delivery: Delivery) -> AttemptResult | NotSent:
    return send(delivery, registry.get(delivery.channel))


# --- The outcome ---


@pytest.mark.parametrize(
    ("reply", "outcome", "text"),
    [
        (Reply(200, "ok"), Delivered(), "ok"),
        (Reply(404, "no_service"), Rejected("404 no_service", flags_channel=True), "no_service"),
        (Reply(503, "sorry", {"Retry-After": "30"}), RetryLater(30.0, "503 sorry"), "sorry"),
    ],
)
def test_answer_of_the_vendor_is_the_outcome(slack: Vendor, reply: Reply, outcome: Any, text: str) -> None:
    slack.replies = [reply]
    result = sent(planned(episode()))
    assert isinstance(result, AttemptResult)
    assert result.response is not None
    assert (result.response.status, result.response.body) == (reply.status, text)
    assert (result.outcome, result.seconds, result.unknown, result.text) == (outcome, 1.0, False, text)


@pytest.mark.parametrize(
    ("problem", "reason", "unknown"),
    [
        (ConnectFailed("refused"), "No connection: refused", False),
        (OutcomeUnknown("cut off"), "No answer: cut off", True),
    ],
)
def test_failure_of_the_network_is_tried_again_and_says_whether_the_message_may_have_arrived(
    monkeypatch: pytest.MonkeyPatch, problem: Exception, reason: str, unknown: bool
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise problem

    monkeypatch.setattr(sending, "post", fail)
    failure = RetryLater(after=None, reason=reason)
    assert sent(planned(episode())) == AttemptResult(failure, None, 1.0, unknown=unknown, text=reason)


def test_attempt_is_bounded_by_the_timeouts_of_the_settings(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.NOTIFIER_CONNECT_TIMEOUT, settings.NOTIFIER_READ_TIMEOUT = 3.0, 10.0
    bounds: dict[str, float] = {}

    def answer(*_: object, **options: Any) -> Answer:
        bounds.update({name: value for name, value in options.items() if "seconds" in name})
        return Answer(200, b"ok")

    monkeypatch.setattr(outgoing, "send", answer)
    sent(planned(episode()))
    assert bounds == {"connect_seconds": 3.0, "read_seconds": 10.0, "seconds": 13.0}


def test_alert_for_which_no_message_can_be_made_is_reported_and_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reported: list[tuple[str, object]] = []
    delivery = planned(episode())

    def fail(*_: object) -> None:
        raise KeyError("summary")

    monkeypatch.setattr(sending, "facts_of", fail)
    monkeypatch.setattr(
        sending,
        "capture_exception",
        lambda problem, *, context: reported.append((type(problem).__name__, context)),
    )
    reason = "Internal error: KeyError."
    failure = RetryLater(after=None, reason=reason)
    assert sent(delivery) == AttemptResult(failure, None, 0.0, unknown=False, text=reason)
    assert reported == [("KeyError", {"delivery": delivery.pk, "channel": "slack"})]


def test_database_that_is_away_is_no_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(sending, "facts_of", fail)
    monkeypatch.setattr(sending, "is_outage", lambda problem: isinstance(problem, OperationalError))
    with pytest.raises(OperationalError):
        sent(planned(episode()))


# --- Whether it is still needed ---


def test_channel_that_is_off_sends_nothing(settings: Any, slack: Vendor) -> None:
    settings.SLACK_WEBHOOK_URL = ""
    off = NotSent(Delivery.State.OFF, "Slack is off: its address or key is not set.")
    assert sent(planned(episode())) == off
    assert slack.bodies() == []


BEFORE_IT_WAS_SENT = "The alert was resolved before it was sent."
BEFORE_ITS_ACKNOWLEDGEMENT = "The alert was resolved before the acknowledgement was sent."
NOT_UNCONFIRMED = "Its end was confirmed or taken back before this was sent."
NEVER_NOTIFIED = "PagerDuty was never notified of the alert."


@pytest.mark.parametrize(
    ("channel", "kind", "alert", "was_notified", "reason"),
    [
        ("slack", "trigger", {}, False, ""),
        ("slack", "trigger", RESOLVED, False, BEFORE_IT_WAS_SENT),
        ("pagerduty", "trigger", RESOLVED, True, BEFORE_IT_WAS_SENT),
        ("pagerduty", "acknowledge", {}, True, ""),
        ("pagerduty", "acknowledge", RESOLVED, True, BEFORE_ITS_ACKNOWLEDGEMENT),
        ("pagerduty", "acknowledge", {}, False, NEVER_NOTIFIED),
        ("slack", "acknowledge", {}, False, ""),
        ("pagerduty", "resolve", RESOLVED, True, ""),
        ("pagerduty", "resolve", RESOLVED, False, NEVER_NOTIFIED),
        ("slack", "resolve", RESOLVED, False, ""),
        ("slack", "unconfirmed", {"unconfirmed_at": NOW}, False, ""),
        ("slack", "unconfirmed", {}, False, NOT_UNCONFIRMED),
        ("pagerduty", "unconfirmed", {"unconfirmed_at": NOW}, False, ""),
    ],
)
def test_message_is_sent_while_it_is_true_and_its_reader_knows_the_alert(
    channel: str, kind: str, alert: dict[str, Any], was_notified: bool, reason: str
) -> None:
    about = episode(**alert)
    if was_notified:  # by a resend: there is only one other trigger for each alert and channel
        planned(about, channel=channel, state="delivered", resend_of=planned(episode()))
    delivery = planned(about, channel=channel, kind=kind)
    assert sending.reason_not_to_send(delivery, registry.get(channel)) == reason


def test_message_that_is_not_needed_is_superseded_with_the_reason(slack: Vendor) -> None:
    superseded = NotSent(Delivery.State.SUPERSEDED, BEFORE_IT_WAS_SENT)
    assert sent(planned(episode(**RESOLVED))) == superseded
    assert slack.bodies() == []


def test_resolve_is_sent_where_no_incident_is_kept_and_not_where_none_was_opened(slack: Vendor) -> None:
    about = episode(**RESOLVED)
    result = sent(planned(about, kind="resolve"))
    assert isinstance(result, AttemptResult)
    assert result.outcome == Delivered()
    assert len(slack.bodies()) == 1
    unneeded = sent(planned(about, channel="pagerduty", kind="resolve"))
    assert unneeded == NotSent(Delivery.State.SUPERSEDED, NEVER_NOTIFIED)


@pytest.mark.parametrize(("state", "reason"), [("digested", ""), ("pending", "None of its alerts is left.")])
def test_digest_is_sent_while_an_alert_is_left_in_it(state: str, reason: str) -> None:
    digest = planned(None, kind="digest", digest_of="trigger")
    planned(episode(), state=state, digest=digest)
    assert sending.reason_not_to_send(digest, SLACK) == reason


@pytest.mark.parametrize(
    ("trigger", "outcome", "was_notified"),
    [
        ({"state": "delivered"}, None, True),
        ({"state": "failed"}, "rejected", False),
        ({"state": "dead"}, "retry", False),
        ({"state": "dead"}, "unknown", True),
        ({"state": "superseded"}, "delivered", True),
        ({"state": "delivered", "channel": "slack"}, None, False),
        ({"state": "delivered", "round": 0}, None, False),
        ({"state": "delivered", "kind": "acknowledge"}, None, False),
    ],
)
def test_channel_may_have_been_notified_when_a_trigger_of_this_round_may_have_arrived(
    trigger: dict[str, Any], outcome: str | None, was_notified: bool
) -> None:
    about = episode()
    planned(episode(), channel="pagerduty", state="delivered", round=1)
    earlier = planned(about, **{"channel": "pagerduty", "round": 1} | trigger)
    if outcome:
        Attempt.objects.create(delivery=earlier, number=1, outcome=outcome)
    resolve = planned(about, channel="pagerduty", kind="resolve", round=1)
    assert sending.may_have_been_notified(resolve) is was_notified


def test_attempt_of_the_delivery_itself_does_not_count_as_notified() -> None:
    delivery = planned(episode(), channel="pagerduty")
    Attempt.objects.create(delivery=delivery, number=1, outcome="unknown")
    assert sending.may_have_been_notified(delivery) is False


# --- What it says ---


@pytest.mark.parametrize(
    ("channel", "kind", "was_notified", "is_first"),
    [
        ("slack", "resolve", False, True),
        ("slack", "resolve", True, False),
        ("slack", "trigger", False, False),
        ("pagerduty", "resolve", False, False),
    ],
)
def test_message_says_when_its_reader_hears_of_the_alert_for_the_first_time(
    settings: Any, channel: str, kind: str, was_notified: bool, is_first: bool
) -> None:
    settings.ENVIRONMENT, settings.PUBLIC_URL = "staging", "https://amani.example"
    about = episode(**RESOLVED)
    if was_notified:
        planned(about, channel=channel, state="delivered")
    delivery = planned(about, channel=channel, kind=kind)
    assert sending.message_for(delivery, registry.get(channel)) == Message(
        kind=Kind(kind),
        alerts=(facts_of(about),),
        environment="staging",
        resolved_before_notified=is_first,
        console_url="https://amani.example/admin/observability/episode/",
    )


def test_message_of_a_digest_names_its_alerts() -> None:
    digest = planned(None, kind="digest", digest_of="trigger")
    planned(episode(), state="digested", digest=digest)
    message = sending.message_for(digest, SLACK)
    assert (message.kind, len(message.alerts)) == (Kind.DIGEST, 1)
