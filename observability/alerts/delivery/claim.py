"""Takes the next due deliveries of a channel, within the channel's pace.

Every message passes here, so the statements on its way are SQL: through the ORM a claim took four times as
long as the database needed for it (docs/benchmarks.md, G8). A channel without pace and digests is claimed in
batches: one transaction reserves some, and a short one begins each of them right before it is sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from observability.alerts.delivery.digest import bundles, gather_digest, with_alerts
from observability.models import Attempt, Channel, Delivery
from observability.notifiers.base import Kind, Notifier

LEASE_MARGIN_SECONDS = 15
State = Delivery.State

# Pages first; never before an earlier word about the same alert is settled. `due` asks the same of the ORM.
# A pending row with a lease is reserved: a sender has it in its batch and will come to it.
NEXT_DUE = """
SELECT due.id, due.state, due.kind, due.resend_of_id IS NOT NULL
FROM observability_delivery AS due
WHERE due.channel = %(channel)s AND due.state IN ('pending', 'sending')
  AND (due.state = 'pending' AND due.next_attempt_at <= %(now)s
           AND (due.lease_until IS NULL OR due.lease_until < %(now)s OR due.claim_slot = %(slot)s)
       OR due.state = 'sending' AND due.lease_until < %(now)s)
  AND (due.episode_id IS NULL OR NOT EXISTS (
       SELECT FROM observability_delivery AS earlier
       WHERE earlier.episode_id = due.episode_id AND earlier.channel = %(channel)s AND earlier.id < due.id
         AND earlier.state IN ('pending', 'sending', 'digested')))
ORDER BY due.priority, due.id LIMIT %(most)s FOR UPDATE OF due SKIP LOCKED
"""
# The first is being sent from here on; the others are reserved.
LEASE = """
UPDATE observability_delivery
SET state = CASE WHEN id = %(first)s THEN 'sending' ELSE 'pending' END,
    attempt_count = attempt_count + CASE WHEN id = %(first)s THEN 1 ELSE 0 END,
    claim_slot = %(slot)s, lease_until = %(until)s
WHERE id = ANY(%(ids)s)
"""
# Begins the attempt of a reserved delivery, in one transaction of its own: if it is still reserved for this
# batch, nothing more urgent has come and no answer has closed the channel. `row_version` changes with each
# change of the alert.
BEGIN = """
WITH begun AS (
    UPDATE observability_delivery AS mine
    SET state = 'sending', attempt_count = attempt_count + 1
    WHERE id = %(id)s AND state = 'pending' AND claim_slot = %(slot)s AND lease_until = %(until)s
      AND NOT EXISTS (SELECT FROM observability_channel WHERE name = %(channel)s AND next_slot_at > %(now)s)
      AND NOT EXISTS (
          SELECT FROM observability_delivery AS urgent
          WHERE urgent.channel = %(channel)s AND urgent.state = 'pending' AND urgent.claim_slot IS NULL
            AND urgent.priority < mine.priority AND urgent.next_attempt_at <= %(now)s)
    RETURNING mine.attempt_count
)
SELECT begun.attempt_count, set_config('synchronous_commit', 'off', true),
       (SELECT xmin::text FROM observability_episode WHERE id = %(episode)s)
FROM begun
"""
ROW_VERSIONS = """
SELECT delivery.id, episode.xmin::text
FROM observability_delivery AS delivery JOIN observability_episode AS episode ON episode.id = episode_id
WHERE delivery.id = ANY(%(ids)s)
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


@dataclass(slots=True)
class Batch:
    """Deliveries that one sender has claimed together, to be sent one after the other.

    The first is already being sent; `next_begun` begins each of the others when the one before is settled. So
    only what really was on its way is doubtful when a worker dies.
    """

    deliveries: list[Delivery]
    slot: int
    until: datetime  # what it has reserved is free afterwards
    row_versions: dict[int, str]  # delivery → its alert's, when that was read
    _place: int = 0

    def next_begun(self) -> Delivery | None:
        """The next delivery of the batch, begun and up to date; None when the rest has to be claimed anew."""
        self._place += 1
        if self._place >= len(self.deliveries):
            return None
        delivery = self.deliveries[self._place]
        with connection.cursor() as cursor:
            cursor.execute(
                BEGIN,
                {
                    "id": delivery.pk,
                    "episode": delivery.episode_id,
                    "channel": delivery.channel,
                    "slot": self.slot,
                    "until": self.until,
                    "now": timezone.now(),
                },
            )
            row = cursor.fetchone()
        if row is None:
            return None
        if row[2] != self.row_versions.get(delivery.pk):
            return with_alerts(Delivery.objects.filter(pk=delivery.pk)).get()
        delivery.state, delivery.attempt_count = State.SENDING.value, row[0]
        return delivery


def due(channel: str, now: datetime) -> QuerySet[Delivery]:
    """What may be sent now, in the order in which it should be."""
    earlier = Delivery.objects.filter(
        episode=OuterRef("episode"), channel=channel, id__lt=OuterRef("id"), state__in=Delivery.UNFINISHED
    )
    is_free = Q(lease_until=None) | Q(lease_until__lt=now)
    waiting = Q(state=State.PENDING, next_attempt_at__lte=now) & is_free
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
    claimed = claim_batch(notifier, slot, most=1)
    return claimed.deliveries[0] if isinstance(claimed, Batch) else claimed


def claim_batch(notifier: Notifier, slot: int, most: int) -> Batch | Wait | None:
    """At most `most` deliveries as a batch; or how long to wait; or nothing due. Begins the first of them."""
    now = timezone.now()
    until = now + lease_time()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(GATE, {"channel": notifier.name})
        gate = cursor.fetchone()
        next_slot_at = gate[0] if gate else Channel.objects.create(name=notifier.name).next_slot_at
        most = most if is_unhindered(notifier) else 1
        cursor.execute(NEXT_DUE, {"channel": notifier.name, "now": now, "slot": slot, "most": most})
        rows = cursor.fetchall()
        if not rows:
            return None
        wait = seconds_to_wait(notifier, next_slot_at, now)
        if wait > 0:
            return Wait(wait)
        for delivery_id, state, *_ in rows:
            if state == State.SENDING:
                note_abandoned_attempt(Delivery.objects.get(pk=delivery_id))
        first, _, kind, is_resend = rows[0]
        ids = [row[0] for row in rows]
        if bundles(notifier, kind) and not is_resend:
            first = gather_digest(Delivery.objects.get(pk=first), notifier, due(notifier.name, now)).pk
            ids = [first]
        cursor.execute(LEASE, {"first": first, "ids": ids, "slot": slot, "until": until})
        close_gate(notifier, next_slot_at, now)
    return read_batch(ids, slot, until)


def read_batch(ids: list[int], slot: int, until: datetime) -> Batch:
    """What was claimed, in this order. An alert that changes after this is read again in `next_begun`."""
    row_versions: dict[int, str] = {}
    if len(ids) > 1:
        with connection.cursor() as cursor:
            cursor.execute(ROW_VERSIONS, {"ids": ids})
            row_versions = dict(cursor.fetchall())
    found = {delivery.pk: delivery for delivery in with_alerts(Delivery.objects.filter(pk__in=ids))}
    return Batch([found[delivery_id] for delivery_id in ids], slot, until, row_versions)


def is_unhindered(notifier: Notifier) -> bool:
    """Whether messages leave as fast as they can: neither paced nor bundled. Only then batches are of use."""
    return not notifier.pace().interval and Kind.DIGEST not in notifier.handles


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
    """Frees what the last holder of `slot` left behind; how many of these it was sending.

    Only the present holder of the slot's lock may call this.
    """
    with transaction.atomic():
        release_reserved(channel, slot)
        left = list(
            Delivery.objects.select_for_update().filter(channel=channel, claim_slot=slot, state=State.SENDING)
        )
        for delivery in left:
            note_abandoned_attempt(delivery)
            delivery.state = State.PENDING
            delivery.next_attempt_at = timezone.now()
            delivery.lease_until = delivery.claim_slot = None
            delivery.save(update_fields=["state", "next_attempt_at", "lease_until", "claim_slot"])
    return len(left)


def release_reserved(channel: str, slot: int) -> None:
    """Gives back what `slot` has reserved and not begun: any sender may claim it at once."""
    Delivery.objects.filter(channel=channel, claim_slot=slot, state=State.PENDING).update(
        claim_slot=None, lease_until=None
    )
