"""Deletes old history in batches, so that no lock is held long."""

from __future__ import annotations

import re
from argparse import ArgumentParser, ArgumentTypeError
from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import BaseCommand
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from observability.models import Attempt, Delivery, Episode, EpisodeEvent, Receipt

UNITS = {"h": "hours", "d": "days", "w": "weeks"}


def age(text: str) -> timedelta:
    """`180d`, `12w` or `36h`."""
    match = re.fullmatch(r"(\d{1,5})([hdw])", text)
    if match is None or int(match[1]) == 0:
        raise ArgumentTypeError(f"{text!r} is not an age: write 180d, 12w or 36h.")
    return timedelta(**{UNITS[match[2]]: int(match[1])})


class Command(BaseCommand):
    help = "Delete resolved alerts, messages and receipts older than an age. What fires or waits is kept."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--older-than", type=age, required=True, metavar="180d")
        parser.add_argument("--batch", type=int, default=1000, help="alerts in one transaction")

    def handle(self, *args: Any, **options: Any) -> None:
        before = timezone.now() - options["older_than"]
        episodes = delete_in_batches(old_episodes(before), options["batch"], delete_episodes)
        digests = delete_in_batches(old_digests(before), options["batch"], delete_deliveries)
        receipts = delete_in_batches(
            Receipt.objects.filter(received_at__lt=before), options["batch"], raw_delete
        )
        self.stdout.write(
            f"Deleted {episodes} alerts, {digests} digests and {receipts} receipts from before "
            f"{before:%Y-%m-%d %H:%M} UTC."
        )


def old_episodes(before: datetime) -> QuerySet[Episode]:
    waiting = Delivery.objects.filter(state__in=Delivery.UNFINISHED).exclude(episode=None)
    return (
        Episode.objects.filter(first_seen_at__lt=before)
        .exclude(status=Episode.Status.FIRING)
        .exclude(resolved_at__gte=before)
        .exclude(pk__in=waiting.values("episode"))
    )


def old_digests(before: datetime) -> QuerySet[Delivery]:
    return Delivery.objects.filter(kind=Delivery.Kind.DIGEST, finished_at__lt=before, members=None)


def delete_in_batches(rows: QuerySet[Any], size: int, delete: Any) -> int:
    total = 0
    while True:
        ids = list(rows.order_by("pk").values_list("pk", flat=True)[:size])
        if not ids:
            return total
        with transaction.atomic():
            delete(rows.model, ids)
        total += len(ids)


def delete_episodes(model: type[Episode], ids: list[int]) -> None:
    deliveries = list(Delivery.objects.filter(episode__in=ids).values_list("pk", flat=True))
    delete_deliveries(Delivery, deliveries)
    EpisodeEvent.objects.filter(episode__in=ids).delete()
    raw_delete(model, ids)


def delete_deliveries(model: type[Delivery], ids: list[int]) -> None:
    Attempt.objects.filter(delivery__in=ids).delete()
    Delivery.objects.filter(resend_of__in=ids).update(resend_of=None)
    raw_delete(model, ids)


def raw_delete(model: Any, ids: list[int]) -> None:
    """Without Django's own cascade, which would read every row first."""
    rows = model.objects.filter(pk__in=ids)
    rows._raw_delete(rows.db)  # noqa: SLF001
