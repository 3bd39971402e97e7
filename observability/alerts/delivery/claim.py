"""Takes the next due delivery of a channel, within the channel's pace."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from observability.alerts.delivery.digest import gather_digest
from observability.models import Attempt, Channel, Delivery
from observability.notifiers.base import Kind, Notifier

LEASE_MARGIN_SECONDS = 15
State = Delivery.State


@dataclass(frozen=True, slots=True)
class Wait:
    """The channel's pace, or the vendor's Retry-After, allows nothing for this many seconds."""

    seconds: float


def due(channel: str, now: datetime) -> QuerySet[Delivery]:
    """What may be sent now: pages first; never before an earlier word about the same episode is settled."""
    earlier = Delivery.objects.filter(
        episode=OuterRef("episode"), channel=channel, id__lt=OuterRef("id"), state__in=Delivery.UNFINISHED
    )
    waiting = Q(state=State.PENDING, next_attempt_at__lte=now)
    abandoned = Q(state=State.SENDING, lease_until__lt=now)
    return (
        Delivery.objects.filter(
            waiting | abandoned, channel=channel, state__in=[State.PENDING, State.SENDING]
        )
        .filter(Q(episode=None) | ~Exists(earlier))
        .order_by("priority", "id")
    )


def claim(notifier: Notifier, slot: int) -> Delivery | Wait | None:
    """The next delivery, leased to `slot`; how long to wait; or None when nothing is due."""
    now = timezone.now()
    with transaction.atomic():
        channel = Channel.objects.select_for_update().get(pk=notifier.name)
        pace = notifier.pace()
        allowance = timedelta(seconds=pace.interval * (pace.burst - 1))
        wait = (channel.next_slot_at - allowance - now).total_seconds()
        delivery = due(notifier.name, now).select_for_update(of=("self",), skip_locked=True).first()
        if delivery is None:
            return None
        if wait > 0:
            return Wait(wait)
        note_abandoned_attempt(delivery)
        if Kind.DIGEST in notifier.handles:
            delivery = gather_digest(delivery, notifier, due(notifier.name, now))
        lease(delivery, slot, now)
        channel.next_slot_at = max(channel.next_slot_at, now) + timedelta(seconds=pace.interval)
        channel.save(update_fields=["next_slot_at"])
    return delivery


def lease(delivery: Delivery, slot: int, now: datetime) -> None:
    seconds = settings.NOTIFIER_CONNECT_TIMEOUT + settings.NOTIFIER_READ_TIMEOUT + LEASE_MARGIN_SECONDS
    delivery.state = State.SENDING
    delivery.claim_slot = slot
    delivery.lease_until = now + timedelta(seconds=seconds)
    delivery.attempt_count += 1
    delivery.save(update_fields=["state", "claim_slot", "lease_until", "attempt_count"])


def note_abandoned_attempt(delivery: Delivery) -> None:
    """An attempt whose worker died before it wrote down the outcome: the vendor may have the message."""
    if delivery.state != State.SENDING:
        return
    Attempt.objects.get_or_create(
        delivery=delivery,
        number=delivery.attempt_count,
        defaults={
            "outcome": Attempt.Outcome.UNKNOWN,
            "response": "The worker ended before it could write down the outcome.",
        },
    )


def release_abandoned(channel: str, slot: int) -> int:
    """Frees what the last holder of `slot` left behind. Only the present holder of its lock may call this."""
    with transaction.atomic():
        left = list(
            Delivery.objects.select_for_update().filter(channel=channel, claim_slot=slot, state=State.SENDING)
        )
        for delivery in left:
            note_abandoned_attempt(delivery)
            delivery.state = State.PENDING
            delivery.next_attempt_at = timezone.now()
            delivery.save(update_fields=["state", "next_attempt_at"])
    return len(left)
