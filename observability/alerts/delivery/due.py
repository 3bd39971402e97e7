"""Which deliveries of a channel may be sent now, in which order: the only place that says so.

Every message passes here, so it is SQL: through the ORM a claim took four times as long as the database
needed for it (docs/benchmarks.md, G8).
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from django.db import connection
from django.utils import timezone

from observability.alerts.prepared import preparing_cursor
from observability.models import Delivery

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


class Due(NamedTuple):
    """A delivery that may be sent now."""

    id: int
    state: str
    kind: str
    is_resend: bool


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
