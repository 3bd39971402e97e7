"""Deletes old history in batches, so that no lock is held long."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import count
from typing import Any, NamedTuple

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from observability.models import (
    Attempt,
    Delivery,
    Episode,
    EpisodeEvent,
    Escalation,
    Receipt,
    Silence,
    SilenceEvent,
    Suppression,
)

BATCH = 1000
BATCHES_AT_ONCE = 5  # of each kind, in one run of the task


class Pruned(NamedTuple):
    """How many rows were deleted, and up to which time."""

    before: datetime
    episodes: int
    digests: int
    receipts: int
    silences: int


def forget_old() -> Pruned | None:
    """Deletes history older than ALERT_HISTORY_DAYS, at most 5,000 rows of each kind. None if it is 0."""
    if not settings.ALERT_HISTORY_DAYS:
        return None
    before = timezone.now() - timedelta(days=settings.ALERT_HISTORY_DAYS)
    return prune_history(before=before, batch=BATCH, batches=BATCHES_AT_ONCE)


def prune_history(*, before: datetime, batch: int = BATCH, batches: int | None = None) -> Pruned:
    """Deletes resolved alerts with all that belongs to them, digests, receipts and ended silences from before
    `before`.

    What fires or waits to be sent is kept. `batch`: alerts in one transaction; `batches`: at most so many of
    each kind. Interrupted, it keeps what it has done and can be started again.
    """
    return Pruned(
        before=before,
        episodes=delete_in_batches(old_episodes(before), batch, batches, delete_episodes),
        digests=delete_in_batches(old_digests(before), batch, batches, delete_deliveries),
        receipts=delete_in_batches(
            Receipt.objects.filter(received_at__lt=before), batch, batches, raw_delete
        ),
        silences=delete_in_batches(old_silences(before), batch, batches, delete_silences),
    )


def old_episodes(before: datetime) -> QuerySet[Episode]:
    waiting = Delivery.objects.filter(state__in=Delivery.UNFINISHED).exclude(episode=None)
    return (
        Episode.objects.filter(first_seen_at__lt=before)
        .exclude(status__in=[Episode.Status.FIRING, Episode.Status.SILENCED])
        .exclude(resolved_at__gte=before)
        .exclude(pk__in=waiting.values("episode"))
    )


def old_silences(before: datetime) -> QuerySet[Silence]:
    return Silence.objects.filter(finished_at__lt=before).exclude(state__in=Silence.UNFINISHED)


def old_digests(before: datetime) -> QuerySet[Delivery]:
    return Delivery.objects.filter(kind=Delivery.Kind.DIGEST, finished_at__lt=before, members=None)


def delete_in_batches(
    rows: QuerySet[Any], size: int, most: int | None, delete: Callable[[Any, list[int]], None]
) -> int:
    total = 0
    for _ in count() if most is None else range(most):
        ids = list(rows.order_by("pk").values_list("pk", flat=True)[:size])
        if not ids:
            break
        with transaction.atomic():
            delete(rows.model, ids)
        total += len(ids)
    return total


def delete_episodes(model: type[Episode], ids: list[int]) -> None:
    deliveries = list(Delivery.objects.filter(episode__in=ids).values_list("pk", flat=True))
    delete_deliveries(Delivery, deliveries)
    EpisodeEvent.objects.filter(episode__in=ids).delete()
    Suppression.objects.filter(episode__in=ids).delete()
    Silence.objects.filter(episode__in=ids).update(episode=None)
    Escalation.objects.filter(episode__in=ids).delete()
    raw_delete(model, ids)


def delete_deliveries(model: type[Delivery], ids: list[int]) -> None:
    Attempt.objects.filter(delivery__in=ids).delete()
    # Only of rows that stay: an alert's second trigger without `resend_of` would be its page twice.
    Delivery.objects.filter(resend_of__in=ids).exclude(pk__in=ids).update(resend_of=None)
    raw_delete(model, ids)


def delete_silences(model: type[Silence], ids: list[int]) -> None:
    SilenceEvent.objects.filter(silence__in=ids).delete()
    Suppression.objects.filter(silence__in=ids).delete()
    raw_delete(model, ids)


def raw_delete(model: Any, ids: list[int]) -> None:
    """Deletes rows to which nothing refers but rows of the same batch.

    Django's cascade would clear the `resend_of` of those before it deletes them (see `delete_deliveries`).
    """
    rows = model.objects.filter(pk__in=ids)
    rows._raw_delete(rows.db)  # noqa: SLF001  (Django has no public way to delete without its cascade)
