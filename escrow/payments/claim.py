"""Claims the next payout that is due, and computes leases and retry times."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from core import leases
from core.leases import Backoff, claim_next
from escrow.models.payments import PaymentEvent, Payout
from escrow.payments.states import PAYOUT_OPEN

# Longer than the requests of one attempt take together: 15 s to ask, 15 s for the recipient, 30 s to pay.
LEASE = timedelta(seconds=120)
# A hanging provider must not occupy all children of the worker, because alerts need some.
MOST_AT_ONCE = 4
MOST_EVENTS_LOOKED_AT = 100
# A payout is never given up: its money waits until the provider says what became of it.
FOREVER = timedelta(days=36_500)
BACKOFF = Backoff(share=0.2, shortest_seconds=5.0, longest_seconds=1800.0)


@dataclass(frozen=True, slots=True)
class PayoutClaim(leases.Claim[Payout]):
    event_ids: tuple[int, ...]  # the webhooks that this attempt processes


@transaction.atomic
def claim() -> PayoutClaim | None:
    """Claims the payout that has been due for longest; None if none is due or enough workers are busy."""
    due_now = due(timezone.now())
    leased = claim_next(due_now, among=Payout.objects.all(), lease=LEASE, most_at_once=MOST_AT_ONCE)
    if leased is None:
        return None
    pending = leased.row.payment_events.filter(state=PaymentEvent.State.PENDING)
    return PayoutClaim(
        leased.row, leased.number, leased.takes_over, tuple(pending.values_list("pk", flat=True))
    )


def due(now: datetime) -> QuerySet[Payout]:
    """Selects open payouts that are due, and payouts of any state with a webhook that is due."""
    reported = PaymentEvent.objects.filter(
        state=PaymentEvent.State.PENDING, next_attempt_at__lte=now, payout__isnull=False
    ).order_by("next_attempt_at")
    ids = list(reported.values_list("payout_id", flat=True)[:MOST_EVENTS_LOOKED_AT])
    waiting = Q(state__in=PAYOUT_OPEN, next_attempt_at__lte=now)
    return Payout.objects.filter(waiting | Q(pk__in=ids)).order_by("next_attempt_at", "pk")


def next_look(since: datetime, now: datetime, wish: float | None = None) -> datetime:
    """Returns when to ask next about what began at `since`. `wish`: a Retry-After in seconds."""
    moment = BACKOFF.next_attempt(since=since, now=now, until=since + FOREVER, wish_seconds=wish)
    return moment or now + timedelta(seconds=BACKOFF.longest_seconds)
