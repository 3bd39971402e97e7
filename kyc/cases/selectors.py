"""Queries for cases. Decrypted values may only be shown on the page that asked for them."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.db.models import Exists, OuterRef, Q, QuerySet

from accounts.models import User
from core.encryption import decrypt
from kyc.cases import numbers
from kyc.errors import CaseNotFound
from kyc.models import Case, Document, State
from kyc.models.cases import FRAUD, OPEN, WAITING

MASK = "•" * 7
# States in which a case claims its number: open, approved now or before. Rejected ones count after fraud.
CLAIMS_NUMBER = (*OPEN, State.APPROVED, State.EXPIRED, State.REVOKED)


def number_of(case: Case) -> str:
    """Returns the full number, or "" if it is erased. The caller must store a NumberAccess."""
    return decrypt(bytes(case.number_encrypted)).decode() if case.number_encrypted else ""


def masked_number(case: Case) -> str:
    return f"{MASK}{case.number_last}" if case.number_last else ""


def same_number(case: Case) -> QuerySet[Case]:
    """Selects other users' cases with the same number, which a reviewer must compare."""
    if not case.number_hash:
        return Case.objects.none()
    return with_claimed_number().filter(number_hash=case.number_hash).exclude(person_id=case.person_id)


def with_duplicate_flag(cases: QuerySet[Case]) -> QuerySet[Case]:
    """Annotates `is_duplicate`: whether `same_number` finds another case. One query for a whole list."""
    same = with_claimed_number().filter(number_hash=OuterRef("number_hash"))
    others = same.exclude(person_id=OuterRef("person_id"))
    return cases.annotate(is_duplicate=Exists(others.exclude(number_hash="")))


def with_claimed_number() -> QuerySet[Case]:
    return Case.objects.filter(Q(state__in=CLAIMS_NUMBER) | Q(reason_code__in=FRAUD))


def waiting() -> QuerySet[Case]:
    """Selects the review queue, oldest first."""
    return Case.objects.filter(state__in=WAITING).order_by("submitted_at", "id")


def claims_lapsed(now: datetime) -> QuerySet[Case]:
    return Case.objects.filter(state=State.IN_REVIEW, claimed_until__lte=now).order_by("claimed_until")


def approvals_over(now: datetime) -> QuerySet[Case]:
    return Case.objects.filter(state=State.APPROVED, expires_at__lte=now).order_by("expires_at")


def doubted() -> QuerySet[Case]:
    """Selects approvals that a provider contradicts, until an operator revokes or upholds them."""
    return Case.objects.filter(doubted_at__isnull=False).order_by("doubted_at")


def by_number(text: str) -> QuerySet[Case]:
    """Selects cases of all states with this number; normalises `text`. Raises WrongNumber."""
    return Case.objects.filter(number_hash__in=numbers.hashes_of(text))


def open_case_of(person: User) -> Case | None:
    return Case.objects.filter(person_id=person.pk, state__in=OPEN).first()


def cases_of(person: User, *, limit: int, before: UUID | None = None) -> list[Case]:
    """Returns at most `limit` of the person's cases with their images, newest first.

    `before` is the public id of the last case of the page before. Raises CaseNotFound.
    """
    cases = Case.objects.filter(person_id=person.pk).order_by("-id").prefetch_related("documents")
    if before is not None:
        cases = cases.filter(pk__lt=own_case(person, before).pk)
    return list(cases[:limit])


def is_final(case: Case) -> bool:
    """Returns whether a rejected case can no longer be resubmitted.

    That is so if its images are erased, or after fraud, where the number must stay with the case.
    """
    return case.state == State.REJECTED and (case.erased_at is not None or case.reason_code in FRAUD)


def is_current(image: Document) -> bool:
    return image.replaced_at is None and image.deleted_at is None


def own_case(person: User, public_id: UUID, *, for_update: bool = False) -> Case:
    """Returns the person's case. Raises CaseNotFound, also for a case of another person.

    `for_update` locks the case; lock the person first.
    """
    cases = Case.objects.select_for_update(no_key=True) if for_update else Case.objects.all()
    case = cases.filter(person_id=person.pk, public_id=public_id).first()
    if case is None:
        raise CaseNotFound
    return case
