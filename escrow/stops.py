"""Stops releases and payouts while the books are wrong, until an operator clears it with a reason.

The snapshot opens a stop. What moves money out of an escrow or out of Amani calls `refuse_while_stopped` in
its own transaction, before it posts. Money that arrives is still booked.
"""

from __future__ import annotations

from collections.abc import Mapping

import structlog
from django.db import connection, transaction
from django.utils import timezone

from accounts.models import User
from core.errors import Conflict, Forbidden, Invalid
from escrow.ledger import counting
from escrow.models.stops import MoneyStop
from escrow.roles import CLEAR_STOP

log = structlog.get_logger(__name__)

LONGEST_REASON = 2_000
OPEN_STOP = "SELECT cause FROM escrow_moneystop WHERE cleared_at IS NULL ORDER BY id LIMIT 1"


class MoneyStopped(Conflict):
    code = "money_stopped"

    def __init__(self, cause: str) -> None:
        super().__init__(
            "Releases and payouts are stopped while Amani checks its books. "
            "Nothing was changed; try again later."
        )
        self.cause = cause


class StopAlreadyCleared(Conflict):
    code = "stop_already_cleared"

    def __init__(self) -> None:
        super().__init__("This stop was cleared already. Look at who did it, and why.")


class MayNotClear(Forbidden):
    code = "may_not_clear_stop"

    def __init__(self) -> None:
        super().__init__("Only an approver may let releases and payouts go on.")


class ClearingNeedsReason(Invalid):
    code = "reason_missing"

    def __init__(self) -> None:
        super().__init__(
            "Write what was wrong and how you know that it is right now.", fields={"reason": ["Write why."]}
        )


def refuse_while_stopped() -> None:
    """Raises MoneyStopped while a stop is open; one short statement, because every release asks it."""
    with connection.cursor() as cursor:
        cursor.execute(OPEN_STOP)
        row = cursor.fetchone()
    if row is not None:
        raise MoneyStopped(row[0])


def open_causes() -> list[str]:
    return list(
        MoneyStop.objects.filter(cleared_at__isnull=True).order_by("id").values_list("cause", flat=True)
    )


def open_for(causes: Mapping[str, str]) -> None:
    """Opens a stop for each cause (→ what was seen) that has none, also for one that was cleared before."""
    for cause, detail in causes.items():
        if MoneyStop.objects.filter(cause=cause, cleared_at__isnull=True).exists():
            continue
        MoneyStop.objects.bulk_create([MoneyStop(cause=cause, detail=detail)], ignore_conflicts=True)
        log.error("money_stopped", cause=cause, detail=detail)


@transaction.atomic
def clear(*, stop_id: int, actor: User, reason: str) -> MoneyStop:
    """Lets releases and payouts go on, unless another stop is open. The next snapshot stops them again if the
    cause persists; that entries were changed is accepted with it.

    Returns the stop. Raises MayNotClear, ClearingNeedsReason or StopAlreadyCleared.
    """
    if not actor.has_perm(CLEAR_STOP):
        raise MayNotClear
    if not reason.strip():
        raise ClearingNeedsReason
    counting.wait_for_watch()  # first, as the snapshot does
    stop = MoneyStop.objects.select_for_update().get(pk=stop_id)
    if stop.cleared_at is not None:
        raise StopAlreadyCleared
    stop.cleared_at, stop.cleared_by = timezone.now(), actor
    stop.cleared_reason = reason.strip()[:LONGEST_REASON]
    stop.save(update_fields=["cleared_at", "cleared_by", "cleared_reason"])
    if stop.cause == MoneyStop.Cause.DRIFT:
        counting.accept_changes()
    log.warning("money_stop_cleared", stop_id=stop.pk, cause=stop.cause, actor=actor.pk)
    return stop
