"""Keeps one payout or collection that cannot be processed from stopping all others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import structlog
from django.db import transaction
from django.utils import timezone

from core.sqlstates import is_outage
from escrow.models.payments import PaymentEvent, Payout
from escrow.payments.claim import Work, WorkClaim
from observability.sentry import capture_exception

LATER = timedelta(minutes=10)

log = structlog.get_logger(__name__)


@contextmanager
def set_aside_on_a_fault(claimed: WorkClaim[Work]) -> Iterator[None]:
    """Reports a fault of ours and tries this row again in ten minutes. An outage of the database passes.

    What was rolled back is as before: a payout whose request had begun will be asked about.
    """
    try:
        yield
    except Exception as problem:
        if is_outage(problem):
            raise  # nothing can be stored either; the row is claimed again after its lease
        name = type(claimed.row).__name__.lower()
        log.exception("payment_attempt_failed", kind=name, id=claimed.row.pk)
        capture_exception(problem, context={"kind": name, "id": claimed.row.pk})
        set_aside(claimed, f"Internal error: {type(problem).__name__}.")


def set_aside(claimed: WorkClaim[Work], reason: str) -> None:
    later = timezone.now() + LATER
    with transaction.atomic():
        claimed.rows().update(lease_until=None, last_error=reason)
        claimed.rows().filter(next_attempt_at__isnull=False).update(next_attempt_at=later)
        if isinstance(claimed.row, Payout):
            claimed.rows().filter(recheck_at__lt=later).update(recheck_at=later)
        events = PaymentEvent.objects.filter(pk__in=claimed.event_ids, state=PaymentEvent.State.PENDING)
        events.update(next_attempt_at=later, reason=reason)
