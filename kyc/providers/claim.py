"""Takes the next check that is due, for this worker alone."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from kyc.models import Check, ProviderEvent
from kyc.providers.outbox import RUNNING

# Longer than an announcement, an upload and a question take together (the longest: 15 + 45 + 15 seconds).
LEASE = timedelta(seconds=120)
# A provider that hangs must not hold every child of the worker: the alerts' senders need some.
MOST_AT_ONCE = 2
MOST_EVENTS_LOOKED_AT = 100
GIVE_UP_AFTER = timedelta(hours=24)
SHORTEST_WAIT_SECONDS = 10.0
LONGEST_WAIT_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Claim:
    """A check, leased. `number` fences: who has an older number writes nothing down."""

    check: Check
    number: int
    event_ids: tuple[int, ...]  # the callbacks that are answered by asking now

    @property
    def submits(self) -> bool:
        """Not yet handed in, and no callback says otherwise."""
        return self.check.state == Check.State.PENDING and not self.event_ids


def claim() -> Claim | None:
    now = timezone.now()
    with transaction.atomic():
        if Check.objects.filter(lease_until__gt=now).count() >= MOST_AT_ONCE:
            return None
        check = due(now).select_for_update(skip_locked=True).first()
        if check is None:
            return None
        check.attempt_count += 1
        check.lease_until = now + LEASE
        check.save(update_fields=["attempt_count", "lease_until"])
        events = check.events.filter(state=ProviderEvent.State.PENDING).values_list("pk", flat=True)
        return Claim(check, check.attempt_count, tuple(events))


def due(now: datetime) -> QuerySet[Check]:
    """Those to be sent or asked for, and those with a callback to look into, whatever state they are in."""
    called_back = ProviderEvent.objects.filter(
        state=ProviderEvent.State.PENDING, next_attempt_at__lte=now, check_row__isnull=False
    ).order_by("next_attempt_at")
    ids = list(called_back.values_list("check_row_id", flat=True)[:MOST_EVENTS_LOOKED_AT])
    waiting = Q(state__in=RUNNING, next_attempt_at__lte=now)
    free = Q(lease_until__isnull=True) | Q(lease_until__lt=now)
    return Check.objects.filter(waiting | Q(pk__in=ids)).filter(free).order_by("next_attempt_at", "pk")


def next_look(since: datetime, now: datetime, wish: float | None = None) -> datetime | None:
    """Half as long again as it took so far, 10 s to 1 h, or the provider's wish if longer; None: give up.

    One rule for failures and for results that are not there yet. The jitter parts what failed together.
    """
    age = (now - since).total_seconds()
    wait = min(max(age / 2, SHORTEST_WAIT_SECONDS), LONGEST_WAIT_SECONDS)
    jittered = wait * random.uniform(0.75, 1.0)  # noqa: S311  (jitter, not a secret)
    moment = now + timedelta(seconds=max(jittered, wish or 0.0))
    return moment if moment <= since + GIVE_UP_AFTER else None
