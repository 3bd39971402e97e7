"""The snapshot counts payouts by state, and says how long the oldest has been unknown."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from escrow.models import Payout
from escrow.payments.tests.fake import FakeProvider
from escrow.payments.tests.money import asked, rich
from escrow.snapshot import record_waiting
from escrow.tests.test_snapshot import count, oldest

pytestmark = pytest.mark.django_db


def test_payouts_are_counted_with_the_age_of_the_oldest_unknown_one(
    fake: FakeProvider,
) -> None:
    user, now = rich(10_000), timezone.now()
    requested, unknown = asked(user, amount_minor=100), asked(user, amount_minor=200)
    sent_at = now - timedelta(minutes=20)
    Payout.objects.filter(pk=unknown.pk).update(
        state="unknown", state_since=sent_at, first_sent_at=sent_at, last_sent_at=sent_at
    )
    record_waiting(now)
    assert {state: count("payout", state) for state in ("requested", "sent", "unknown")} == {
        "requested": 1,
        "sent": 0,
        "unknown": 1,
    }
    assert oldest("payout", "unknown") == pytest.approx(1200)
    assert oldest("payout", "sent") == 0
    assert requested.state == "requested"
