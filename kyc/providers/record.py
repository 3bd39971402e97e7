"""Records the outcome of an attempt, if this worker still has the lease."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from core.outcomes import Accepted, Rejected, RetryLater
from kyc import metrics
from kyc.models import Check, ProviderEvent
from kyc.providers.base import StartOver, Submission
from kyc.providers.claim import Claim, next_look
from kyc.providers.outbox import RUNNING, new_reference

State = Check.State


def record_submission(claim: Claim, outcome: Submission) -> None:
    now = timezone.now()
    mine = claim.rows()
    fields = fields_after(claim, outcome, now)
    with transaction.atomic():
        if mine.filter(state=State.PENDING).update(lease_until=None, **fields):
            return
        # Cancelled concurrently. The provider's id of the job is still useful.
        known = {"provider_reference": outcome.reference} if isinstance(outcome, Accepted) else {}
        mine.update(lease_until=None, **known)


def fields_after(claim: Claim, outcome: Submission, now: datetime) -> dict[str, Any]:
    match outcome:
        case Accepted(reference=reference):
            return {
                "state": State.SENT,
                "provider_reference": reference[:100],
                "next_attempt_at": next_look(claim.row.created_at, now) or now,
                "last_error": "",
            }
        case StartOver(reason=reason):
            again = {"reference": new_reference()}
            return again | fields_of_failure(claim.row, reason, now, wish=None)
        case RetryLater(after=after, reason=reason):
            return fields_of_failure(claim.row, reason, now, wish=after)
        case Rejected(reason=reason):
            return {
                "state": State.FAILED,
                "last_error": reason,
                "next_attempt_at": None,
                "finished_at": now,
            }


def fields_of_failure(check: Check, reason: str, now: datetime, wish: float | None) -> dict[str, Any]:
    """Returns the fields for a retry at a stored time; after a day, those for giving up."""
    moment = next_look(check.created_at, now, wish)
    if moment is None:
        reason = f"Given up: {reason}"
        return {"state": State.FAILED, "last_error": reason, "next_attempt_at": None, "finished_at": now}
    return {"last_error": reason, "next_attempt_at": moment}


def record_no_answer(claim: Claim, outcome: RetryLater) -> None:
    """Records a failed request: the check and its callbacks are retried, each for one day."""
    now = timezone.now()
    mine = claim.rows()
    with transaction.atomic():
        if not mine.update(lease_until=None, last_error=outcome.reason):
            return
        fields = fields_of_failure(claim.row, outcome.reason, now, wish=outcome.after)
        mine.filter(state__in=RUNNING).update(**fields)
        for event in pending_events(claim):
            retry_event(event, now, outcome)


def pending_events(claim: Claim) -> QuerySet[ProviderEvent]:
    events = ProviderEvent.objects.filter(pk__in=claim.event_ids, state=ProviderEvent.State.PENDING)
    return events.select_for_update().order_by("pk")


def retry_event(event: ProviderEvent, now: datetime, outcome: RetryLater) -> None:
    moment = next_look(event.received_at, now, outcome.after)
    if moment is None:
        finish_event(event, ProviderEvent.State.FAILED, f"Given up: {outcome.reason}", now)
        return
    event.attempt_count += 1
    event.reason = outcome.reason
    event.next_attempt_at = moment
    event.save(update_fields=["attempt_count", "reason", "next_attempt_at"])


def finish_event(event: ProviderEvent, state: ProviderEvent.State, reason: str, now: datetime) -> None:
    event.state = state
    event.reason = reason
    event.attempt_count += 1
    event.next_attempt_at = None
    event.processed_at = now
    event.save(update_fields=["state", "reason", "attempt_count", "next_attempt_at", "processed_at"])
    transaction.on_commit(partial(metrics.record_provider_event, event.provider, state.value))
