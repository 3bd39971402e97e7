"""Which deliveries of a channel may be sent now: each border of the rule, one row a case."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from observability.alerts.delivery.claim import Due, is_anything_due, lock_alike, lock_next_due
from observability.models import Delivery, Episode

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
TICK = timedelta(microseconds=1)
SLOT = 3


def episode(**changes: Any) -> Episode:
    number = Episode.objects.count()
    return Episode.objects.create(
        fingerprint=f"{number:016x}",
        starts_at=NOW,
        severity="warning",
        alertname="HighErrorRate",
        dedup_key=f"amani-{number}",
        **{"status": "firing"} | changes,
    )


def planned(of: Episode | None = None, **changes: Any) -> Delivery:
    """A delivery that is due, except for what `changes` says."""
    fields = {"channel": "slack", "kind": "trigger", "severity": "warning", "priority": 1}
    return Delivery.objects.create(
        episode=of or episode(), **fields | {"next_attempt_at": NOW, "created_at": NOW} | changes
    )


def next_due(most: int = 10, now: datetime = NOW) -> list[int]:
    return [due.id for due in lock_next_due("slack", slot=SLOT, most=most, now=now)]


@pytest.mark.parametrize(
    ("fields", "for_the_slot", "for_any"),
    [
        ({}, True, True),
        ({"next_attempt_at": NOW + TICK}, False, False),
        ({"lease_until": NOW - TICK, "claim_slot": 1}, True, True),
        ({"lease_until": NOW, "claim_slot": 1}, False, False),
        ({"lease_until": NOW, "claim_slot": SLOT}, True, False),
        ({"state": "sending", "lease_until": NOW - TICK}, True, True),
        ({"state": "sending", "lease_until": NOW, "claim_slot": SLOT}, False, False),
        ({"state": "sending"}, False, False),
        ({"state": "digested"}, False, False),
        ({"state": "delivered"}, False, False),
        ({"channel": "pagerduty"}, False, False),
    ],
)
def test_delivery_is_due_when_its_time_has_come_and_no_other_sender_has_it(
    fields: dict[str, Any], for_the_slot: bool, for_any: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    delivery = planned(**fields)
    monkeypatch.setattr(timezone, "now", lambda: NOW)
    assert next_due() == [delivery.pk] * for_the_slot
    assert is_anything_due("slack") is for_any


@pytest.mark.parametrize(
    ("earlier", "is_due"),
    [
        ({"state": "pending", "next_attempt_at": NOW + TICK}, False),
        ({"state": "sending", "lease_until": NOW}, False),
        ({"state": "digested"}, False),
        ({"state": "delivered"}, True),
        ({"state": "failed"}, True),
        ({"state": "pending", "channel": "pagerduty"}, True),
    ],
)
def test_delivery_waits_for_an_earlier_one_of_its_alert_on_its_channel(
    earlier: dict[str, Any], is_due: bool
) -> None:
    alert = episode()
    planned(alert, **earlier)
    later = planned(alert, kind="resolve", priority=0)
    planned(alert, kind="acknowledge", state="sending", lease_until=NOW)  # a later one holds up nothing
    assert (later.pk in next_due()) == is_due


def test_next_are_the_most_urgent_then_the_oldest_and_no_more_than_asked_for() -> None:
    update, page, second_page = planned(priority=5), planned(priority=0), planned(priority=0)
    assert next_due() == [page.pk, second_page.pk, update.pk]
    assert next_due(most=2) == [page.pk, second_page.pk]
    assert next_due(now=NOW - TICK) == []


def test_due_delivery_is_returned_with_what_a_claim_decides_on() -> None:
    first = planned(state="failed")
    again = planned(first.episode, resend_of=first, state="sending", lease_until=NOW - TICK, kind="resolve")
    assert lock_next_due("slack", slot=SLOT, most=1, now=NOW) == [
        Due(id=again.pk, state="sending", kind="resolve", is_resend=True)
    ]


def test_nothing_is_due_on_a_channel_without_deliveries() -> None:
    planned(channel="pagerduty", next_attempt_at=timezone.now())
    assert is_anything_due("slack") is False
    assert is_anything_due("pagerduty") is True


@pytest.mark.parametrize(
    ("kind", "alert", "fields", "is_alike"),
    [
        ("trigger", {}, {}, True),
        ("trigger", {"status": "resolved", "resolved_at": NOW}, {}, False),
        ("resolve", {"status": "resolved", "resolved_at": NOW}, {}, True),
        ("unconfirmed", {"unconfirmed_at": NOW}, {}, True),
        ("unconfirmed", {}, {}, False),
        ("trigger", {}, {"kind": "resolve"}, False),
        ("trigger", {}, {"severity": "critical"}, False),
        ("trigger", {}, {"channel": "pagerduty"}, False),
        ("trigger", {}, {"next_attempt_at": NOW + TICK}, False),
        ("trigger", {}, {"state": "sending", "lease_until": NOW - TICK}, False),
        ("trigger", {}, {"lease_until": NOW, "claim_slot": SLOT}, False),
    ],
)
def test_alike_is_what_waits_of_the_same_kind_and_severity_and_is_still_true(
    kind: str, alert: dict[str, Any], fields: dict[str, Any], is_alike: bool
) -> None:
    true_of_the_first = {"unconfirmed_at": NOW} if kind == "unconfirmed" else {}
    first = planned(episode(**true_of_the_first), kind=kind)
    other = planned(episode(**alert), **{"kind": kind} | fields)
    assert lock_alike(first, most=10, now=NOW) == [first.pk, *[other.pk] * is_alike]


def test_alike_are_no_more_than_asked_for_and_no_resends() -> None:
    first, second = planned(), planned()
    planned(resend_of=planned(state="failed"))
    assert lock_alike(first, most=10, now=NOW) == [first.pk, second.pk]
    assert lock_alike(first, most=1, now=NOW) == [first.pk]
    assert lock_alike(first, most=10, now=NOW - TICK) == []
