"""Claims the next mail that is due, and computes leases and retry times."""

from __future__ import annotations

from datetime import datetime, timedelta

import structlog
from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone

from accounts.mail.metrics import record_attempt
from accounts.models import Mail
from core.leases import Backoff, Claim, claim_next, is_free

# A hanging mail server must not occupy children of the worker that alerts need.
MOST_AT_ONCE = 1
LEASE_MARGIN_SECONDS = 40
BACKOFF = Backoff(share=0.25, shortest_seconds=5.0, longest_seconds=900.0)

log = structlog.get_logger(__name__)


def claim() -> Claim[Mail] | None:
    """Claims the mail that has been due for longest; None if none is due or another worker is sending."""
    due_now = due(timezone.now())
    claimed = claim_next(due_now, among=waiting(), lease=lease_time(), most_at_once=MOST_AT_ONCE)
    if claimed is not None and claimed.takes_over:
        record_attempt("unknown")
        mail, attempt = claimed.row, claimed.number - 1
        log.warning("mail_attempt_abandoned", mail_id=mail.pk, kind=mail.kind, attempt=attempt)
    return claimed


def waiting() -> QuerySet[Mail]:
    return Mail.objects.filter(state=Mail.State.WAITING)


def due(now: datetime) -> QuerySet[Mail]:
    return waiting().filter(next_attempt_at__lte=now).order_by("next_attempt_at", "pk")


def expired(now: datetime) -> QuerySet[Mail]:
    """Selects the mails that have expired: the code in them is no longer valid."""
    return waiting().filter(is_free(now), expires_at__lte=now)


def lease_time() -> timedelta:
    """Returns the lease, longer than an attempt: EMAIL_TIMEOUT, or more if several server addresses hang."""
    return timedelta(seconds=settings.EMAIL_TIMEOUT + LEASE_MARGIN_SECONDS)


def next_attempt(mail: Mail, now: datetime) -> datetime | None:
    """Returns the time of the next attempt, or None if that is after the mail expires."""
    return BACKOFF.next_attempt(since=mail.created_at, now=now, until=mail.expires_at)
