"""Erases images and numbers of cases after their retention time.

Rejected and unfinished cases are kept for KYC_REJECTED_RETENTION_DAYS; cases that were approved, for
KYC_RETENTION_DAYS after the approval ended, as anti-money-laundering law requires. Events stay, without what
was written about them.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Max, Q, QuerySet
from django.utils import timezone

from core.request_id import current_request_id
from kyc.cases.transitions import lock_case, write_about
from kyc.documents.removal import delete_documents, delete_files_of
from kyc.models import Case, CaseEvent, CaseEventText, Check, Document, ProviderEvent, State
from kyc.models.cases import FRAUD
from kyc.providers import events

BATCH = 200
ENDED = (State.EXPIRED, State.REVOKED)
UNFINISHED = (State.DRAFT, State.REJECTED)
ERASE = "erase"
TIME_OVER = "retention time over"


def delete_due() -> int:
    """Erases cases and replaced images, at most BATCH of each kind in one run, and returns how many."""
    now = timezone.now()
    short = now - timedelta(days=settings.KYC_REJECTED_RETENTION_DAYS)
    long = now - timedelta(days=settings.KYC_RETENTION_DAYS)
    unfinished = sum(erase_case(pk, TIME_OVER, short) for pk in cases_to_erase(UNFINISHED, short))
    ended = sum(erase_case(pk, TIME_OVER, long) for pk in cases_to_erase(ENDED, long))
    return unfinished + ended + delete_replaced(short)


def cases_to_erase(states: tuple[State, ...], before: datetime) -> list[int]:
    """Returns ids of cases that are not erased yet and have been in these states since before that time."""
    cases = not_erased().filter(state__in=states).exclude(decided_at__gt=before)
    since = cases.annotate(since=Max("events__at")).filter(
        Q(since__lte=before) | Q(since=None, created_at__lte=before)
    )
    return list(since.order_by("pk").values_list("pk", flat=True)[:BATCH])


def not_erased() -> QuerySet[Case]:
    """Selects cases with data. A draft is never marked as erased, because it may be continued; it has no
    data if its number is empty."""
    return Case.objects.filter(erased_at=None).exclude(state=State.DRAFT, number_encrypted=b"")


def erase_case(case_id: int, why: str, unmoved_since: datetime | None = None) -> bool:
    """Erases images and number of the case, unless its state has changed since `unmoved_since`."""
    with transaction.atomic():
        case = lock_case(case_id)
        if unmoved_since is not None and case.events.filter(at__gt=unmoved_since).exists():
            return False
        erase_locked(case, why)
    return True


def erase_locked(case: Case, why: str) -> None:
    """Erases the case, which the caller has locked, in the caller's transaction; deletes files on commit."""
    delete_files_of(case)
    events.forget(case=case)
    CaseEventText.objects.filter(event__case=case).delete()
    forget_texts(Case.objects.filter(pk=case.pk))
    erased: dict[str, Any] = {"number_encrypted": b"", "number_last": "", "reason": ""}
    if not keeps_hash(case):
        erased["number_hash"] = ""
    if case.state != State.DRAFT:
        erased["erased_at"] = timezone.now()
    for name, value in erased.items():
        setattr(case, name, value)
    case.save(update_fields=erased)
    event = CaseEvent.objects.create(
        case=case,
        event=ERASE,
        from_state=case.state,
        to_state=case.state,
        request_id=current_request_id(),
    )
    write_about(event, why)


def forget_texts(cases: QuerySet[Case]) -> None:
    """Empties what reviewers, operators and providers wrote about the cases, in the caller's transaction.

    The texts of events are not included: of an approval they are kept with its documents, encrypted.
    """
    Check.objects.filter(case__in=cases).update(result_text="", last_error="")
    ProviderEvent.objects.filter(check_row__case__in=cases).update(asked_again_because="")
    cases.update(reason="")


def keeps_hash(case: Case) -> bool:
    """Returns whether the number's hash stays, so that the document cannot be used for a second account.

    It stays after fraud and after an ended approval. The number cannot be found from it without
    KYC_SEARCH_KEY.
    """
    return case.state in ENDED or case.reason_code in FRAUD


def delete_replaced(before: datetime) -> int:
    """Deletes images that were replaced before that time, and returns how many."""
    replaced = Document.objects.filter(replaced_at__lte=before, deleted_at=None).order_by("pk")
    with transaction.atomic():
        ids = list(replaced.values_list("pk", flat=True)[:BATCH])
        return delete_documents(ids) if ids else 0
