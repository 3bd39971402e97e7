"""Records the outcome of an attempt, if this worker still has the lease."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import structlog
from django.db.models import Case, F, TextField, Value, When
from django.db.models.functions import Concat
from django.utils import timezone

from accounts.mail.claim import expired, next_attempt
from accounts.mail.metrics import record_attempt, record_end
from accounts.mail.transport import Outcome
from accounts.models import Mail
from core.leases import Claim
from core.outcomes import Delivered, Rejected, RetryLater

State = Mail.State
NOT_TRIED = Value("not tried in time.", output_field=TextField())
GIVEN_UP_BECAUSE = Concat(
    Value("Given up: ", output_field=TextField()),
    Case(When(last_error="", then=NOT_TRIED), default=F("last_error")),
)
log = structlog.get_logger(__name__)


def record(claim: Claim[Mail], outcome: Outcome) -> None:
    """Stores the next state in one statement, and deletes the content of a finished mail."""
    now = timezone.now()
    fields = fields_after(claim.row, outcome, now)
    is_mine = claim.rows().filter(state=State.WAITING).update(lease_until=None, **fields) == 1
    record_attempt(meaning(outcome))
    if is_mine and "finished_at" in fields:
        record_end("sent" if isinstance(outcome, Delivered) else "failed")
    log_attempt(claim, outcome, fields.get("state", State.WAITING) if is_mine else "lease lost")


def fields_after(mail: Mail, outcome: Outcome, now: datetime) -> dict[str, Any]:
    match outcome:
        case Delivered():
            return end(State.SENT, "", now)
        case Rejected(reason=reason):
            return end(State.REFUSED, reason, now)
        case RetryLater(reason=reason):
            moment = next_attempt(mail, now)
            if moment is None:
                return end(State.GIVEN_UP, f"Given up: {reason}", now)
            return {"last_error": reason, "next_attempt_at": moment}


def end(state: Mail.State, reason: str, now: datetime) -> dict[str, Any]:
    return {
        "state": state,
        "last_error": reason,
        "content": None,
        "next_attempt_at": None,
        "finished_at": now,
    }


def give_up_expired() -> int:
    """Gives up the waiting mails that have expired, and returns how many."""
    now = timezone.now()
    fields = end(State.GIVEN_UP, "", now) | {"last_error": GIVEN_UP_BECAUSE, "lease_until": None}
    count = expired(now).update(**fields)
    if count:
        record_end("failed", count)
        log.error("mails_given_up", count=count)
    return count


def meaning(outcome: Outcome) -> str:
    """Returns the label of the metric."""
    match outcome:
        case Delivered():
            return "sent"
        case RetryLater():
            return "retry"
        case Rejected():
            return "refused"


def log_attempt(claim: Claim[Mail], outcome: Outcome, state: str) -> None:
    """Logs the attempt with id and kind of the mail, without its text and addresses."""
    facts = {"mail_id": claim.row.pk, "kind": claim.row.kind, "attempt": claim.number, "state": str(state)}
    if isinstance(outcome, Delivered):
        log.info("mail_sent", **facts)
    else:
        log.warning("mail_not_sent", reason=outcome.reason, caused_by=claim.row.request_id, **facts)
