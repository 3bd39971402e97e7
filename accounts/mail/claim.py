"""Takes the next mail that is due, for this worker alone (as `kyc/providers/claim.py` does with checks)."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from django.conf import settings
from django.db import connection, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from accounts.mail.metrics import record_attempt
from accounts.models import Mail

# A mail server that hangs must not hold the children of the worker that the alerts need.
MOST_AT_ONCE = 1
LEASE_MARGIN_SECONDS = 40
SHORTEST_WAIT_SECONDS = 5.0
LONGEST_WAIT_SECONDS = 900.0
LOCK = 0x414D_4D41_494C  # "AMMAIL": claims come one after another, or two would both see nothing leased

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Claim:
    """A mail, leased. `number` fences: who has an older number writes nothing down."""

    mail: Mail
    number: int


def claim() -> Claim | None:
    """The mail that has been due for longest; None when nothing is due or another worker is sending."""
    now = timezone.now()
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
        if waiting().filter(lease_until__gt=now).count() >= MOST_AT_ONCE:
            return None
        mail = due(now).select_for_update(skip_locked=True).first()
        if mail is None:
            return None
        abandoned = mail.lease_until is not None
        mail.attempt_count += 1
        mail.lease_until = now + lease_time()
        mail.save(update_fields=["attempt_count", "lease_until"])
    if abandoned:
        record_attempt("unknown")
        log.warning("mail_attempt_abandoned", mail_id=mail.pk, kind=mail.kind, attempt=mail.attempt_count - 1)
    return Claim(mail, mail.attempt_count)


def waiting() -> QuerySet[Mail]:
    return Mail.objects.filter(state=Mail.State.WAITING)


def unleased(now: datetime) -> Q:
    return Q(lease_until__isnull=True) | Q(lease_until__lt=now)


def due(now: datetime) -> QuerySet[Mail]:
    return waiting().filter(unleased(now), next_attempt_at__lte=now).order_by("next_attempt_at", "pk")


def expired(now: datetime) -> QuerySet[Mail]:
    """Selects the mails that have expired: the code in them is no longer valid."""
    return waiting().filter(unleased(now), expires_at__lte=now)


def lease_time() -> timedelta:
    """Longer than an attempt takes: EMAIL_TIMEOUT, and more only if several addresses of a server hang."""
    return timedelta(seconds=settings.EMAIL_TIMEOUT + LEASE_MARGIN_SECONDS)


def next_attempt(mail: Mail, now: datetime) -> datetime | None:
    """A quarter as long again as the mail has waited so far, 5 s to 15 min; None: it would come too late.

    So a mail leaves soon after a short outage, and a server that is away for long is not asked all the time.
    The jitter parts what failed together.
    """
    age = (now - mail.created_at).total_seconds()
    wait = min(max(age / 4, SHORTEST_WAIT_SECONDS), LONGEST_WAIT_SECONDS)
    moment = now + timedelta(seconds=wait * random.uniform(0.75, 1.0))  # noqa: S311  (jitter, not a secret)
    return moment if moment < mail.expires_at else None
