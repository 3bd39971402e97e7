"""Sends the mails that are due: claims one, sends it outside any transaction, records the outcome."""

from __future__ import annotations

import structlog
from django.utils import timezone

from accounts.mail.claim import claim, waiting
from accounts.mail.letter import open_letter
from accounts.mail.metrics import record_waiting
from accounts.mail.record import give_up_expired, record
from accounts.mail.transport import Outcome, ServerUnavailable, hand_over
from accounts.models import Mail
from core.errors import CannotDecrypt
from core.leases import Claim, claims_within
from core.outcomes import RetryLater
from observability.sentry import capture_exception

LONGEST_RUN_SECONDS = 20.0  # then the next sweep continues

log = structlog.get_logger(__name__)


class MailNotTried(Exception):
    """Replaces an internal error in reports: same traceback and class name, without its message."""


def run_due() -> int:
    """Sends mails until none is due, the time is over or the server is unavailable; returns the attempts.

    The other mails stay due, so each sweep of beat tries an unavailable server with one mail.
    """
    give_up_expired()
    attempts = 0
    for claimed in claims_within(LONGEST_RUN_SECONDS, claim):
        outcome = attempt(claimed)
        attempts += 1
        if isinstance(outcome, ServerUnavailable):
            break
    return attempts


def attempt(claimed: Claim[Mail]) -> Outcome:
    """Sends one mail, records the outcome and returns it."""
    outcome = outcome_of(claimed.row)
    record(claimed, outcome)
    return outcome


def outcome_of(mail: Mail) -> Outcome:
    try:
        return hand_over(open_letter(bytes(mail.content or b"")))
    except CannotDecrypt:
        return RetryLater(None, "No key of ENCRYPTION_KEYS opens the mail.")
    except Exception as problem:
        # A mail that SMTP cannot represent must not stop the others. The error's message may quote the mail.
        kind_of_error = type(problem).__name__
        log.exception("mail_not_tried", mail_id=mail.pk, error_type=kind_of_error, exc_info=False)
        reported = MailNotTried(kind_of_error).with_traceback(problem.__traceback__)
        capture_exception(reported, context={"mail_id": mail.pk, "kind": mail.kind})
        return RetryLater(None, f"Internal error: {kind_of_error}.")


def take_snapshot() -> None:
    """Sets the gauges of waiting mails; the queries use the partial index of waiting mails."""
    now = timezone.now()
    oldest = waiting().order_by("created_at").values_list("created_at", flat=True).first()
    record_waiting(waiting().count(), (now - oldest).total_seconds() if oldest else 0.0)
