"""Claims the next payout or collection that is due, and computes leases and retry times."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from core import leases
from core.leases import Backoff, claim_next
from escrow.models.payments import Collection, PaymentEvent, Payout
from escrow.payments.states import COLLECTION_OPEN, PAYOUT_OPEN

# Longer than the requests of one attempt take together: 15 s to ask, 15 s for the recipient, 30 s to pay.
LEASE = timedelta(seconds=120)
# A hanging provider must not occupy all children of the worker, because alerts need some.
MOST_AT_ONCE = 4
# Of those, how many may be busy when a settled payout is asked about: what waits for its end comes first.
MOST_BESIDE_SETTLED = 2
MOST_EVENTS_LOOKED_AT = 100
# A payout is never given up: its money waits until the provider says what became of it.
FOREVER = timedelta(days=36_500)
BACKOFF = Backoff(share=0.2, shortest_seconds=5.0, longest_seconds=1800.0)

Work = TypeVar("Work", Payout, Collection)


@dataclass(frozen=True, slots=True)
class WorkClaim(leases.Claim[Work]):
    event_ids: tuple[int, ...]  # the webhooks that this attempt processes


def claim() -> WorkClaim[Payout] | None:
    """Claims the payout that has been due for longest; None if none is due or enough workers are busy."""
    return claim_of(Payout, due(timezone.now()))


def claim_collection() -> WorkClaim[Collection] | None:
    """Claims the collection that has been due for longest, likewise."""
    return claim_of(Collection, due_collections(timezone.now()))


def claim_settled() -> WorkClaim[Payout] | None:
    """Claims the settled payout whose question has been due for longest, likewise."""
    settled = Payout.objects.filter(recheck_at__lte=timezone.now()).order_by("recheck_at", "pk")
    return claim_of(Payout, settled, most_at_once=MOST_BESIDE_SETTLED)


@transaction.atomic
def claim_of(
    model: type[Work], due_now: QuerySet[Work], most_at_once: int = MOST_AT_ONCE
) -> WorkClaim[Work] | None:
    leased = claim_next(due_now, among=model.objects.all(), lease=LEASE, most_at_once=most_at_once)
    if leased is None:
        return None
    pending = leased.row.payment_events.filter(state=PaymentEvent.State.PENDING)
    event_ids = tuple(pending.values_list("pk", flat=True))
    return WorkClaim(leased.row, leased.number, leased.takes_over, event_ids)


def due(now: datetime) -> QuerySet[Payout]:
    """Selects open payouts that are due, and payouts of any state with a webhook that is due."""
    waiting = Q(state__in=PAYOUT_OPEN, next_attempt_at__lte=now)
    chosen = Payout.objects.filter(waiting | Q(pk__in=reported("payout_id", now)))
    return chosen.order_by("next_attempt_at", "pk")


def due_collections(now: datetime) -> QuerySet[Collection]:
    """Selects open collections that are due, and collections of any state with a webhook that is due."""
    waiting = Q(state__in=COLLECTION_OPEN, next_attempt_at__lte=now)
    chosen = Collection.objects.filter(waiting | Q(pk__in=reported("collection_id", now)))
    return chosen.order_by("next_attempt_at", "pk")


def reported(column: str, now: datetime) -> list[int]:
    """Returns the ids that webhooks which are due name in this column."""
    events = PaymentEvent.objects.filter(
        state=PaymentEvent.State.PENDING, next_attempt_at__lte=now, **{f"{column}__isnull": False}
    )
    return list(events.order_by("next_attempt_at").values_list(column, flat=True)[:MOST_EVENTS_LOOKED_AT])


def next_look(since: datetime, now: datetime, wish: float | None = None) -> datetime:
    """Returns when to ask next about what began at `since`. `wish`: a Retry-After in seconds."""
    moment = BACKOFF.next_attempt(since=since, now=now, until=since + FOREVER, wish_seconds=wish)
    return moment or now + timedelta(seconds=BACKOFF.longest_seconds)


def next_recheck(settled_at: datetime, now: datetime) -> datetime | None:
    """Returns when to ask next about a payout that was settled at `settled_at`; None after the last time."""
    moments = [settled_at + timedelta(hours=hours) for hours in settings.PAYOUT_RECHECK_HOURS]
    return min((moment for moment in moments if moment > now), default=None)
