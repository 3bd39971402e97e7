"""Leased work: rows that workers take one at a time, outside any transaction, and try again at stored times.

A worker that dies loses nothing: its lease ends and another one takes the row. How an app uses it:

    class Payout(LeasedWork): ...                      # a state of its own, and an index for what is due
    claim = claim_next(due(now), among=waiting(), lease=timedelta(minutes=2), most_at_once=2)
    outcome = provider.pay(claim.row)                  # no transaction is open
    claim.rows().update(lease_until=None, ...)         # changes nothing if another worker has the row by now
    BACKOFF.next_attempt(since=payout.created_at, now=now, until=payout.created_at + timedelta(days=1))
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from django.db import connection, models, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

LEAST_JITTER = 0.75


class LeasedWork(models.Model):
    """What a worker has to do, stored in the transaction of what it is about. The subclass has the states."""

    attempt_count = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField(default=timezone.now, null=True, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    last_error = models.TextField(blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        abstract = True


Row = TypeVar("Row", bound=LeasedWork)


@dataclass(frozen=True, slots=True)
class Claim(Generic[Row]):
    """A row under a lease. `number` is the fence: a worker with an older number records nothing.

    `takes_over`: an earlier attempt ended without a record, so its outcome is unknown.
    """

    row: Row
    number: int
    takes_over: bool

    def rows(self) -> QuerySet[Row]:
        """Selects the row if it is still this worker's, and nothing otherwise."""
        return type(self.row)._default_manager.filter(pk=self.row.pk, attempt_count=self.number)  # noqa: SLF001  (Django's documented way)


def claim_next(
    due: QuerySet[Row], *, among: QuerySet[Row], lease: timedelta, most_at_once: int
) -> Claim[Row] | None:
    """Leases the first row of `due` that is free; None when there is none, or `most_at_once` are leased.

    `among`: the rows that can have a lease, which are counted. `lease`: longer than an attempt can take.
    The claims of one table come one after another, so that no two of them count the same leases.
    """
    with transaction.atomic():
        wait_for_turn(due.model)
        now = timezone.now()
        if among.filter(lease_until__gt=now).count() >= most_at_once:
            return None
        row = due.filter(is_free(now)).select_for_update(skip_locked=True).first()
        if row is None:
            return None
        takes_over = row.lease_until is not None
        row.attempt_count += 1
        row.lease_until = now + lease
        row.save(update_fields=["attempt_count", "lease_until"])
    return Claim(row, row.attempt_count, takes_over)


def wait_for_turn(model: type[LeasedWork]) -> None:
    """Waits for the other claims of this table, until the transaction's end."""
    key = f"claim:{model.__module__}.{model.__name__}"
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [key])


def is_free(now: datetime) -> Q:
    return Q(lease_until__isnull=True) | Q(lease_until__lt=now)


C = TypeVar("C")


def claims_within(seconds: float, claim: Callable[[], C | None]) -> Iterator[C]:
    """Yields one claim after another, until `claim` returns None or `seconds` are over."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        claimed = claim()
        if claimed is None:
            return
        yield claimed


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait after an attempt: `share` of the work's age, within bounds, shortened by some jitter.

    So work leaves soon after a short outage, and a server that is away for long is not asked all the time.
    The jitter separates what failed together.
    """

    share: float
    shortest_seconds: float
    longest_seconds: float

    def next_attempt(
        self, *, since: datetime, now: datetime, until: datetime, wish_seconds: float | None = None
    ) -> datetime | None:
        """Returns when to try again; None when that would be after `until`, so that it is time to give up.

        `since`: when the work began. `wish_seconds`: what the other side asked for; kept if it is longer.
        """
        age = (now - since).total_seconds()
        wait = min(max(age * self.share, self.shortest_seconds), self.longest_seconds)
        jittered = wait * random.uniform(LEAST_JITTER, 1.0)  # noqa: S311  (jitter, not a secret)
        moment = now + timedelta(seconds=max(jittered, wish_seconds or 0.0))
        return moment if moment <= until else None
