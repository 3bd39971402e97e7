"""What a dead sender held is freed: all of its slot and channel, and nothing else."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from observability.alerts.delivery.abandoned import release_abandoned
from observability.models import Delivery
from observability.tests import history

pytestmark = pytest.mark.django_db


def held(number: int, *, channel: str = "slack", state: str = "sending", slot: int | None = 3) -> Delivery:
    lease = None if slot is None else timezone.now() + timedelta(minutes=5)
    return history.delivery(
        history.episode(number), channel, state, claim_slot=slot, lease_until=lease, attempt_count=2
    )


def test_the_slot_of_the_channel_is_freed_and_no_other() -> None:
    sent, reserved = held(1), held(2, state="pending")
    others = [
        held(3, slot=4),
        held(4, slot=4, state="pending"),
        held(5, channel="pagerduty"),
        held(6, channel="pagerduty", state="pending"),
        held(7, state="delivered"),
    ]
    before = list(Delivery.objects.filter(pk__in=[each.pk for each in others]).order_by("pk").values())
    began = timezone.now()
    assert release_abandoned("slack", 3) == 1
    for freed in (sent, reserved):
        freed.refresh_from_db()
        assert (freed.state, freed.claim_slot, freed.lease_until) == ("pending", None, None)
    assert sent.next_attempt_at >= began
    assert (
        list(Delivery.objects.filter(pk__in=[each.pk for each in others]).order_by("pk").values()) == before
    )


def test_the_attempt_that_was_under_way_is_in_doubt_and_a_reserved_one_is_none() -> None:
    sent, reserved = held(1), held(2, state="pending")
    release_abandoned("slack", 3)
    assert [(each.number, each.outcome) for each in reserved.attempts.all()] == [(1, "delivered")]
    doubt = sent.attempts.get(number=2)
    assert (doubt.outcome, doubt.response) == (
        "unknown",
        "The worker ended before it could write down the outcome.",
    )
