"""Claims the next check that is due, and computes leases and retry times."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from core import leases
from core.leases import Backoff, claim_next
from kyc.models import Check, ProviderEvent
from kyc.providers.outbox import RUNNING

# Longer than the requests of one attempt take together (at most 15 + 45 + 15 seconds).
LEASE = timedelta(seconds=120)
# A hanging provider must not occupy all children of the worker, because alerts need some.
MOST_AT_ONCE = 2
MOST_EVENTS_LOOKED_AT = 100
GIVE_UP_AFTER = timedelta(hours=24)
# The same rule for failures and for missing results.
BACKOFF = Backoff(share=0.5, shortest_seconds=10.0, longest_seconds=3600.0)


@dataclass(frozen=True, slots=True)
class Claim(leases.Claim[Check]):
    event_ids: tuple[int, ...]  # the callbacks that this request processes

    @property
    def submits(self) -> bool:
        """Returns whether the check must be submitted: it is pending, and no callback shows otherwise."""
        return self.row.state == Check.State.PENDING and not self.event_ids


@transaction.atomic
def claim() -> Claim | None:
    """Claims the check that has been due for longest; None if none is due or enough workers are busy."""
    due_now = due(timezone.now())
    leased = claim_next(due_now, among=Check.objects.all(), lease=LEASE, most_at_once=MOST_AT_ONCE)
    if leased is None:
        return None
    events = leased.row.events.filter(state=ProviderEvent.State.PENDING).values_list("pk", flat=True)
    return Claim(leased.row, leased.number, leased.takes_over, tuple(events))


def due(now: datetime) -> QuerySet[Check]:
    """Selects running checks that are due, and checks of any state with a callback that is due."""
    called_back = ProviderEvent.objects.filter(
        state=ProviderEvent.State.PENDING, next_attempt_at__lte=now, check_row__isnull=False
    ).order_by("next_attempt_at")
    ids = list(called_back.values_list("check_row_id", flat=True)[:MOST_EVENTS_LOOKED_AT])
    waiting = Q(state__in=RUNNING, next_attempt_at__lte=now)
    return Check.objects.filter(waiting | Q(pk__in=ids)).order_by("next_attempt_at", "pk")


def next_look(since: datetime, now: datetime, wish: float | None = None) -> datetime | None:
    """Returns the time of the next request for work that began at `since`; None after a day.

    `wish` is the provider's Retry-After in seconds.
    """
    return BACKOFF.next_attempt(since=since, now=now, until=since + GIVE_UP_AFTER, wish_seconds=wish)
