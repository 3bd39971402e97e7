"""KYC's part of the export of an account's data, and of its erasure."""

from __future__ import annotations

from typing import Any

from django.db.models import Count

from accounts import erasure, export
from accounts.models import User
from kyc.cases import withdraw
from kyc.cases.selectors import masked_number
from kyc.cases.states import Event
from kyc.documents.retention import ENDED, erase_locked, forget_texts
from kyc.models import Case, CaseEvent, Document, LimitKind, LimitUsage, State
from kyc.models.cases import WAITING

ERASED = "the account was erased"
# A suspected account holder must not be warned before an operator has decided.
NOT_EXPORTED = (Event.DOUBT, Event.UPHOLD)
# Cases that are or were approved are kept, as the law requires, until KYC_RETENTION_DAYS after their end.
KEPT = (State.APPROVED, *ENDED)
KEPT_WHY = (
    "The law requires that the documents of an approved identity check are kept for some time, also after "
    "the account is deleted. During this time only reviewers may see them; then they are deleted."
)


def register() -> None:
    export.register(name="kyc", collect=collect)
    erasure.register(name="kyc", erase=erase)


def collect(person: User) -> dict[str, Any]:
    """Returns the person's cases with their events, and the used limits, without operators and numbers."""
    own = (
        Case.objects.filter(person_id=person.pk)
        .order_by("pk")
        .prefetch_related("events__written", "documents")
    )
    cases = own.annotate(number_views=Count("number_accesses"))
    usage = LimitUsage.objects.filter(person_id=person.pk).order_by("pk")
    return {
        "kept": KEPT_WHY,
        "cases": [collected(case) | {"number_views": case.number_views} for case in cases],
        "limits_used": [collected_usage(row) for row in usage],
    }


def collected(case: Case) -> dict[str, Any]:
    return {
        "id": str(case.public_id),
        "document_type": case.document_type,
        "country": case.country,
        "number": masked_number(case),
        "state": case.state,
        "created_at": case.created_at,
        "submitted_at": case.submitted_at,
        "decided_at": case.decided_at,
        "expires_at": case.expires_at,
        "reason_code": case.reason_code,
        "reason": "" if case.state == State.APPROVED else case.reason,
        "erased_at": case.erased_at,
        "events": [collected_event(event) for event in case.events.all() if is_exported(event)],
        "documents": [collected_document(document) for document in case.documents.all()],
    }


def is_exported(event: CaseEvent) -> bool:
    return event.event not in NOT_EXPORTED


def collected_event(event: CaseEvent) -> dict[str, Any]:
    """Returns the event without its actor, and without notes on approvals, which are for reviewers."""
    reason = "" if event.to_state == State.APPROVED else event.reason
    return {"at": event.at, "event": event.event, "state": event.to_state, "reason": reason}


def collected_document(document: Document) -> dict[str, Any]:
    return {
        "id": str(document.public_id),
        "side": document.side,
        "content_type": document.content_type,
        "size": document.size,
        "created_at": document.created_at,
        "replaced_at": document.replaced_at,
        "deleted_at": document.deleted_at,
    }


def collected_usage(usage: LimitUsage) -> dict[str, Any]:
    """Returns used and allowed amounts in the currency's smallest unit.

    `since` is the first day of the window; None for a balance.
    """
    return {
        "currency": usage.currency,
        "limit_for": usage.kind,
        "since": None if usage.kind == LimitKind.BALANCE else usage.window_start,
        "used_minor": usage.used_minor,
        "limit_minor": usage.cap_minor,
    }


def erase(person: User) -> None:
    """Erases the person's cases except KEPT ones, in the erasure's transaction, which locked the person.

    Waiting cases are withdrawn first, so that they leave the queue. KEPT cases lose the texts in clear, which
    were for the person; what was written about their events stays, encrypted, as long as their documents.
    """
    own = Case.objects.filter(person_id=person.pk).order_by("pk")
    for case in own.filter(state__in=WAITING):
        withdraw(person=person, public_id=case.public_id)
    for case in own.select_for_update(no_key=True).filter(erased_at=None).exclude(state__in=KEPT):
        erase_locked(case, ERASED)
    forget_texts(own)
