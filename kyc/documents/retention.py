"""What Amani no longer needs, or may no longer keep, goes: images first, then the number.

What was refused or never finished is kept for KYC_REJECTED_RETENTION_DAYS; what was once approved, for
KYC_RETENTION_DAYS after its end, as the law on money laundering asks. Events stay: they hold no number.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Max, Q, QuerySet
from django.utils import timezone

from core.request_id import current_request_id
from kyc.documents.removal import delete_documents, delete_files_of
from kyc.models import Case, CaseEvent, Document, State
from kyc.models.cases import FRAUD
from kyc.providers import events
from kyc.transitions import lock_case

BATCH = 200
ENDED = (State.EXPIRED, State.REVOKED)
UNFINISHED = (State.DRAFT, State.REJECTED)
ERASE = "erase"


def delete_due() -> int:
    """How many cases and replaced images were erased. At most BATCH of each kind; beat comes again."""
    now = timezone.now()
    short = now - timedelta(days=settings.KYC_REJECTED_RETENTION_DAYS)
    long = now - timedelta(days=settings.KYC_RETENTION_DAYS)
    unfinished = sum(erase_case(pk, "retention time over", short) for pk in due(UNFINISHED, short))
    ended = sum(erase_case(pk, "retention time over", long) for pk in due(ENDED, long))
    return unfinished + ended + delete_replaced(short)


def due(states: tuple[State, ...], before: datetime) -> list[int]:
    """Cases in these states since before that moment, which still have something to erase."""
    cases = with_something_left().filter(state__in=states).exclude(decided_at__gt=before)
    since = cases.annotate(since=Max("events__at")).filter(
        Q(since__lte=before) | Q(since=None, created_at__lte=before)
    )
    return list(since.order_by("pk").values_list("pk", flat=True)[:BATCH])


def with_something_left() -> QuerySet[Case]:
    """A draft may be continued, so it is never marked as erased; it is empty when its number is."""
    return Case.objects.filter(erased_at=None).exclude(state=State.DRAFT, number_encrypted=b"")


def erase_case(case_id: int, why: str, unmoved_since: datetime | None = None) -> bool:
    """Its images and its number, unless it has moved on in the meantime."""
    with transaction.atomic():
        case = lock_case(case_id)
        if unmoved_since is not None and case.events.filter(at__gt=unmoved_since).exists():
            return False
        erase_locked(case, why)
    return True


def erase_locked(case: Case, why: str) -> None:
    """In the caller's transaction; the files go on commit."""
    delete_files_of(case)
    events.forget(case=case)
    erased: dict[str, Any] = {"number_encrypted": b"", "number_last": ""}
    if not keeps_hash(case):
        erased["number_hash"] = ""
    if case.state != State.DRAFT:
        erased["erased_at"] = timezone.now()
    for name, value in erased.items():
        setattr(case, name, value)
    case.save(update_fields=erased)
    CaseEvent.objects.create(
        case=case,
        event=ERASE,
        from_state=case.state,
        to_state=case.state,
        reason=why,
        request_id=current_request_id(),
    )


def keeps_hash(case: Case) -> bool:
    """One document must not open a second account after a fraud, nor after an approval that ended.

    The hash is keyed: without KYC_SEARCH_KEY nobody finds the number from it.
    """
    return case.state in ENDED or case.reason_code in FRAUD


def delete_replaced(before: datetime) -> int:
    """Images that a newer one replaced: nobody decides by them any more."""
    replaced = Document.objects.filter(replaced_at__lte=before, deleted_at=None).order_by("pk")
    with transaction.atomic():
        ids = list(replaced.values_list("pk", flat=True)[:BATCH])
        return delete_documents(ids) if ids else 0
