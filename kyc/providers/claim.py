"""Which check a worker takes next, for how long, and when one that failed is asked about again."""

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

# Longer than an announcement, an upload and a question take together (the longest: 15 + 45 + 15 seconds).
LEASE = timedelta(seconds=120)
# A provider that hangs must not hold every child of the worker: the alerts' senders need some.
MOST_AT_ONCE = 2
MOST_EVENTS_LOOKED_AT = 100
GIVE_UP_AFTER = timedelta(hours=24)
# One rule for failures and for results that are not there yet.
BACKOFF = Backoff(share=0.5, shortest_seconds=10.0, longest_seconds=3600.0)


@dataclass(frozen=True, slots=True)
class Claim(leases.Claim[Check]):
    event_ids: tuple[int, ...]  # the callbacks that are answered by asking now

    @property
    def submits(self) -> bool:
        """Not yet handed in, and no callback says otherwise."""
        return self.row.state == Check.State.PENDING and not self.event_ids


@transaction.atomic
def claim() -> Claim | None:
    """The check that has been due for longest; None when nothing is due or enough workers are busy."""
    due_now = due(timezone.now())
    leased = claim_next(due_now, among=Check.objects.all(), lease=LEASE, most_at_once=MOST_AT_ONCE)
    if leased is None:
        return None
    events = leased.row.events.filter(state=ProviderEvent.State.PENDING).values_list("pk", flat=True)
    return Claim(leased.row, leased.number, leased.takes_over, tuple(events))


def due(now: datetime) -> QuerySet[Check]:
    """Those to be sent or asked for, and those with a callback to look into, whatever state they are in."""
    called_back = ProviderEvent.objects.filter(
        state=ProviderEvent.State.PENDING, next_attempt_at__lte=now, check_row__isnull=False
    ).order_by("next_attempt_at")
    ids = list(called_back.values_list("check_row_id", flat=True)[:MOST_EVENTS_LOOKED_AT])
    waiting = Q(state__in=RUNNING, next_attempt_at__lte=now)
    return Check.objects.filter(waiting | Q(pk__in=ids)).order_by("next_attempt_at", "pk")


def next_look(since: datetime, now: datetime, wish: float | None = None) -> datetime | None:
    """When to ask again about what began at `since`; None after a day. `wish`: the provider's, in seconds."""
    return BACKOFF.next_attempt(since=since, now=now, until=since + GIVE_UP_AFTER, wish_seconds=wish)
