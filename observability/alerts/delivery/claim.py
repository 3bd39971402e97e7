"""Claims the next due deliveries of a channel, within the channel's pace. Only IS_DUE says what is due.

A channel without pace and digests is claimed in batches: one transaction begins the first delivery and
reserves the others, and each of these is begun when the result of the one before is recorded (`record`).

Every message passes here, so it is SQL: through the ORM a claim took four times as long as the database
needed for it (docs/benchmarks.md, G8).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from observability.alerts.delivery.abandoned import note_abandoned_attempt
from observability.alerts.delivery.digest import MOST_IN_ONE_DIGEST, bundles, gather_digest, with_alerts
from observability.alerts.prepared import preparing_cursor
from observability.models import Channel, Delivery
from observability.notifiers.base import Kind, Notifier

LEASE_MARGIN_SECONDS = 15
State = Delivery.State

# A pending delivery whose time has come and that no other sender has reserved (then it has a lease), or one
# that was being sent when its lease ended. Never before an earlier message about the same alert is finished.
IS_DUE = """due.channel = %(channel)s AND due.state IN ('pending', 'sending')
  AND (due.state = 'pending' AND due.next_attempt_at <= %(now)s
           AND (due.lease_until IS NULL OR due.lease_until < %(now)s OR due.claim_slot = %(slot)s)
       OR due.state = 'sending' AND due.lease_until < %(now)s)
  AND (due.episode_id IS NULL OR NOT EXISTS (
       SELECT FROM observability_delivery AS earlier
       WHERE earlier.episode_id = due.episode_id AND earlier.channel = %(channel)s AND earlier.id < due.id
         AND earlier.state IN ('pending', 'sending', 'digested')))"""
# Pages first.
IN_ORDER = "ORDER BY due.priority, due.id LIMIT %(most)s FOR UPDATE OF due SKIP LOCKED"

NEXT_DUE = f"""
SELECT due.id, due.state, due.kind, due.resend_of_id IS NOT NULL
FROM observability_delivery AS due WHERE {IS_DUE} {IN_ORDER}
"""  # noqa: S608  (put together from the constants above; every value is a parameter)
ANY_DUE = f"SELECT EXISTS (SELECT FROM observability_delivery AS due WHERE {IS_DUE})"  # noqa: S608  (likewise)
ALIKE = f"""
SELECT due.id
FROM observability_delivery AS due JOIN observability_episode AS episode ON episode.id = due.episode_id
WHERE {IS_DUE} AND due.state = 'pending' AND due.kind = %(kind)s AND due.severity = %(severity)s
  AND due.resend_of_id IS NULL
  AND (due.kind <> 'trigger' OR episode.status = 'firing')
  AND (due.kind <> 'unconfirmed' OR episode.unconfirmed_at IS NOT NULL)
{IN_ORDER}
"""  # noqa: S608  (likewise)

# A claim need not survive a crash of PostgreSQL, so its commit does not wait for the disk: without it the
# delivery is pending again and is sent again, which is what happens to everything that was in flight.
GATE = """
SELECT next_slot_at, set_config('synchronous_commit', 'off', true)
FROM observability_channel WHERE name = %(channel)s FOR UPDATE
"""
# The first is being sent from here on; the others are reserved.
LEASE = """
UPDATE observability_delivery
SET state = CASE WHEN id = %(first)s THEN 'sending' ELSE 'pending' END,
    attempt_count = attempt_count + CASE WHEN id = %(first)s THEN 1 ELSE 0 END,
    claim_slot = %(slot)s, lease_until = %(until)s
WHERE id = ANY(%(ids)s)
"""
# A row's version changes with each change of the alert.
ROW_VERSIONS = """
SELECT delivery.id, episode.xmin::text
FROM observability_delivery AS delivery JOIN observability_episode AS episode ON episode.id = episode_id
WHERE delivery.id = ANY(%(ids)s)
"""
# A part of a statement: begins the attempt of a reserved delivery if it is still reserved for this batch, if
# nothing more urgent has come and if no answer has closed the channel since.
BEGUN = """begun AS (
    UPDATE observability_delivery AS reserved
    SET state = 'sending', attempt_count = attempt_count + 1
    WHERE id = %(reserved)s AND state = 'pending' AND claim_slot = %(slot)s AND lease_until = %(until)s
      AND NOT EXISTS (SELECT FROM observability_channel WHERE name = %(channel)s AND next_slot_at > %(now)s)
      AND NOT EXISTS (
          SELECT FROM observability_delivery AS urgent
          WHERE urgent.channel = %(channel)s AND urgent.state = 'pending' AND urgent.claim_slot IS NULL
            AND urgent.priority < reserved.priority AND urgent.next_attempt_at <= %(now)s)
    RETURNING reserved.attempt_count
)"""
BEGUN_ATTEMPT = "(SELECT attempt_count FROM begun)"
ALERT_VERSION = "(SELECT xmin::text FROM observability_episode WHERE id = %(episode)s)"
BEGIN = f"""
WITH {BEGUN} SELECT {BEGUN_ATTEMPT}, {ALERT_VERSION}, set_config('synchronous_commit', 'off', true)
"""


class Due(NamedTuple):
    """A delivery that may be sent now."""

    id: int
    state: str
    kind: str
    is_resend: bool


@dataclass(frozen=True, slots=True)
class Wait:
    """The channel's pace, or the vendor's Retry-After, allows nothing for this many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Reservation:
    """A delivery that a batch has reserved and not begun, as it was read then."""

    delivery: Delivery
    slot: int
    until: datetime
    row_version: str | None  # of its alert, before it was read

    def begun(self, attempt_count: int | None, row_version: str | None) -> Delivery | None:
        """The delivery with its present alert; None when it was not begun: the rest has to be claimed anew.

        `attempt_count` and `row_version`: the answers of BEGUN_ATTEMPT and ALERT_VERSION.
        """
        if attempt_count is None:
            return None
        if row_version != self.row_version:
            return with_alerts(Delivery.objects.filter(pk=self.delivery.pk)).get()
        self.delivery.state, self.delivery.attempt_count = State.SENDING.value, attempt_count
        return self.delivery


@dataclass(frozen=True, slots=True)
class Batch:
    """Deliveries that one sender has claimed together, to be sent one after the other.

    Only the first is being sent, so only one message is doubtful when the worker is killed.
    """

    first: Delivery
    reserved: list[Reservation]


def begin(reservation: Reservation | None) -> Delivery | None:
    """Begins a reserved delivery in a transaction of its own. Returns it, or None as `Reservation.begun`."""
    if reservation is None:
        return None
    parameters = to_begin(reservation) | {"channel": reservation.delivery.channel, "now": timezone.now()}
    with preparing_cursor() as cursor:
        cursor.execute(BEGIN, parameters)
        attempt_count, row_version, _ = cursor.fetchone()
    return reservation.begun(attempt_count, row_version)


def to_begin(reservation: Reservation | None) -> dict[str, Any]:
    """The parameters of BEGUN and ALERT_VERSION besides `channel` and `now`. None: nothing begins."""
    if reservation is None:
        return {"reserved": None, "episode": None, "slot": None, "until": None}
    return {
        "reserved": reservation.delivery.pk,
        "episode": reservation.delivery.episode_id,
        "slot": reservation.slot,
        "until": reservation.until,
    }


def claim(notifier: Notifier, slot: int) -> Delivery | Wait | None:
    """The next delivery, begun and read with its alert; or how long to wait; or None if none is due."""
    claimed = claim_batch(notifier, slot, most=1)
    return claimed.first if isinstance(claimed, Batch) else claimed


def claim_batch(notifier: Notifier, slot: int, most: int) -> Batch | Wait | None:
    """At most `most` deliveries as a batch; or how long to wait; or None if none is due. Begins the first."""
    now = timezone.now()
    until = now + lease_time()
    with transaction.atomic(), preparing_cursor() as cursor:
        cursor.execute(GATE, {"channel": notifier.name})
        gate = cursor.fetchone()
        next_slot_at = gate[0] if gate else Channel.objects.create(name=notifier.name).next_slot_at
        most = most if is_unhindered(notifier) else 1
        rows = lock_next_due(notifier.name, slot=slot, most=most, now=now)
        if not rows:
            return None
        wait = seconds_to_wait(notifier, next_slot_at, now)
        if wait > 0:
            return Wait(wait)
        for row in rows:
            if row.state == State.SENDING:
                note_abandoned_attempt(Delivery.objects.get(pk=row.id))
        ids = [row.id for row in rows]
        if bundles(notifier, rows[0].kind) and not rows[0].is_resend:
            first = Delivery.objects.get(pk=ids[0])
            alike = lock_alike(first, most=MOST_IN_ONE_DIGEST, now=now)
            ids = [gather_digest(first, alike, notifier).pk]
        cursor.execute(LEASE, {"first": ids[0], "ids": ids, "slot": slot, "until": until})
        close_gate(notifier, next_slot_at, now)
    return read_batch(ids, slot, until)


def read_batch(ids: list[int], slot: int, until: datetime) -> Batch:
    """What was claimed, in this order. `Reservation.begun` reads an alert that changes after this again."""
    row_versions: dict[int, str] = {}
    if len(ids) > 1:
        with preparing_cursor() as cursor:
            cursor.execute(ROW_VERSIONS, {"ids": ids})
            row_versions = dict(cursor.fetchall())
    found = {delivery.pk: delivery for delivery in with_alerts(Delivery.objects.filter(pk__in=ids))}
    reserved = [Reservation(found[pk], slot, until, row_versions.get(pk)) for pk in ids[1:]]
    return Batch(found[ids[0]], reserved)


def is_unhindered(notifier: Notifier) -> bool:
    """Whether messages leave as fast as they can: neither paced nor bundled. Only then batches are of use."""
    return not notifier.pace().interval and Kind.DIGEST not in notifier.handles


def seconds_to_wait(notifier: Notifier, next_slot_at: datetime, now: datetime) -> float:
    """How long the channel's pace allows nothing, in seconds; negative or 0 when it allows a message now."""
    pace = notifier.pace()
    allowance = timedelta(seconds=pace.interval * (pace.burst - 1))
    return (next_slot_at - allowance - now).total_seconds()


def close_gate(notifier: Notifier, next_slot_at: datetime, now: datetime) -> None:
    """Moves the channel's next slot by one interval, in the transaction of the claim."""
    interval = notifier.pace().interval
    if interval:
        closed_until = max(next_slot_at, now) + timedelta(seconds=interval)
        Channel.objects.filter(pk=notifier.name).update(next_slot_at=closed_until)


def lease_time() -> timedelta:
    """Longer than any attempt can take."""
    seconds = settings.NOTIFIER_CONNECT_TIMEOUT + settings.NOTIFIER_READ_TIMEOUT + LEASE_MARGIN_SECONDS
    return timedelta(seconds=seconds)


def lock_next_due(channel: str, *, slot: int, most: int, now: datetime) -> list[Due]:
    """Locks and returns at most `most` due deliveries, in order; also those that `slot` has reserved."""
    with preparing_cursor() as cursor:
        cursor.execute(NEXT_DUE, {"channel": channel, "slot": slot, "most": most, "now": now})
        return [Due(*row) for row in cursor.fetchall()]


def is_anything_due(channel: str) -> bool:
    """Whether `channel` has a delivery that any sender may claim now."""
    with connection.cursor() as cursor:  # planned each time: it is also asked without a sender's slot
        cursor.execute(ANY_DUE, {"channel": channel, "slot": None, "now": timezone.now()})
        row = cursor.fetchone()
    return bool(row and row[0])


def lock_alike(first: Delivery, *, most: int, now: datetime) -> list[int]:
    """Locks at most `most` due deliveries of the kind and severity of `first` that still hold; their ids."""
    parameters = {"channel": first.channel, "slot": None, "now": now, "most": most}
    with preparing_cursor() as cursor:
        cursor.execute(ALIKE, parameters | {"kind": first.kind, "severity": first.severity})
        return [row[0] for row in cursor.fetchall()]
