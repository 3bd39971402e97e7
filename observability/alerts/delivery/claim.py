"""Takes the next due delivery of a channel, within the channel's pace.

Every message passes here, so the two statements on its way are SQL: through the ORM a claim took four times
as long as the database needed for it (docs/benchmarks.md, G8).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from observability.alerts.delivery.digest import bundles, gather_digest
from observability.models import Attempt, Channel, Delivery
from observability.notifiers.base import Notifier

LEASE_MARGIN_SECONDS = 15
State = Delivery.State

# Pages first; never before an earlier word about the same alert is settled. `due` asks the same of the ORM.
NEXT_DUE = """
SELECT due.id, due.state, due.kind, due.resend_of_id IS NOT NULL
FROM observability_delivery AS due
WHERE due.channel = %(channel)s AND due.state IN ('pending', 'sending')
  AND (due.state = 'pending' AND due.next_attempt_at <= %(now)s
       OR due.state = 'sending' AND due.lease_until < %(now)s)
  AND (due.episode_id IS NULL OR NOT EXISTS (
       SELECT FROM observability_delivery AS earlier
       WHERE earlier.episode_id = due.episode_id AND earlier.channel = %(channel)s AND earlier.id < due.id
         AND earlier.state IN ('pending', 'sending', 'digested')))
ORDER BY due.priority, due.id LIMIT 1 FOR UPDATE OF due SKIP LOCKED
"""
LEASE = """
UPDATE observability_delivery
SET state = 'sending', claim_slot = %(slot)s, lease_until = %(until)s, attempt_count = attempt_count + 1
WHERE id = %(id)s
"""
# A claim need not survive a crash of PostgreSQL, so its commit does not wait for the disk: without it the
# delivery is pending again and is sent again, which is what happens to everything that was in flight.
GATE = """
SELECT next_slot_at, set_config('synchronous_commit', 'off', true)
FROM observability_channel WHERE name = %(channel)s FOR UPDATE
"""


@dataclass(frozen=True, slots=True)
class Wait:
    """The channel's pace, or the vendor's Retry-After, allows nothing for this many seconds."""

    seconds: float


def due(channel: str, now: datetime) -> QuerySet[Delivery]:
    """What may be sent now, in the order in which it should be."""
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
    """The next delivery, leased to `slot` and read with its alert; or how long to wait; or nothing due."""
    now = timezone.now()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(GATE, {"channel": notifier.name})
        gate = cursor.fetchone()
        next_slot_at = gate[0] if gate else Channel.objects.create(name=notifier.name).next_slot_at
        cursor.execute(NEXT_DUE, {"channel": notifier.name, "now": now})
        row = cursor.fetchone()
        if row is None:
            return None
        wait = seconds_to_wait(notifier, next_slot_at, now)
        if wait > 0:
            return Wait(wait)
        delivery_id, state, kind, is_resend = row
        if state == State.SENDING:
            note_abandoned_attempt(Delivery.objects.get(pk=delivery_id))
        if bundles(notifier, kind) and not is_resend:
            first = Delivery.objects.get(pk=delivery_id)
            delivery_id = gather_digest(first, notifier, due(notifier.name, now)).pk
        cursor.execute(LEASE, {"id": delivery_id, "slot": slot, "until": now + lease_time()})
        close_gate(notifier, next_slot_at, now)
    return Delivery.objects.select_related("episode__acknowledged_by").get(pk=delivery_id)


def seconds_to_wait(notifier: Notifier, next_slot_at: datetime, now: datetime) -> float:
    pace = notifier.pace()
    allowance = timedelta(seconds=pace.interval * (pace.burst - 1))
    return (next_slot_at - allowance - now).total_seconds()


def close_gate(notifier: Notifier, next_slot_at: datetime, now: datetime) -> None:
    interval = notifier.pace().interval
    if interval:
        closed_until = max(next_slot_at, now) + timedelta(seconds=interval)
        Channel.objects.filter(pk=notifier.name).update(next_slot_at=closed_until)


def lease_time() -> timedelta:
    """Longer than any attempt can take."""
    seconds = settings.NOTIFIER_CONNECT_TIMEOUT + settings.NOTIFIER_READ_TIMEOUT + LEASE_MARGIN_SECONDS
    return timedelta(seconds=seconds)


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
