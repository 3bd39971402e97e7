"""Reads of cases that need thought. What is decrypted here belongs on the page that asked, nowhere else."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.db.models import Exists, OuterRef, Q, QuerySet

from accounts.models import User
from core.encryption import decrypt
from kyc import numbers
from kyc.errors import CaseNotFound
from kyc.models import Case, Document, State
from kyc.models.cases import FRAUD, OPEN, WAITING

MASK = "•" * 7
# A claim that stands, may come to stand, or stood once; one that was refused counts if it was a fraud.
CLAIMED = (*OPEN, State.APPROVED, State.EXPIRED, State.REVOKED)


def number_of(case: Case) -> str:
    """The whole number; "" once it is erased. The caller writes down who looked."""
    return decrypt(bytes(case.number_encrypted)).decode() if case.number_encrypted else ""


def masked_number(case: Case) -> str:
    return f"{MASK}{case.number_last}" if case.number_last else ""


def same_number(case: Case) -> QuerySet[Case]:
    """Other people's claims to the same number: the flag that a reviewer has to look at."""
    if not case.number_hash:
        return Case.objects.none()
    return claims().filter(number_hash=case.number_hash).exclude(person_id=case.person_id)


def with_duplicate_flag(cases: QuerySet[Case]) -> QuerySet[Case]:
    """Each case with `is_duplicate`: whether `same_number` would find any. One query for a whole list."""
    others = claims().filter(number_hash=OuterRef("number_hash")).exclude(person_id=OuterRef("person_id"))
    return cases.annotate(is_duplicate=Exists(others.exclude(number_hash="")))


def claims() -> QuerySet[Case]:
    return Case.objects.filter(Q(state__in=CLAIMED) | Q(reason_code__in=FRAUD))


def waiting() -> QuerySet[Case]:
    """The queue: who waited longest comes first."""
    return Case.objects.filter(state__in=WAITING).order_by("submitted_at", "id")


def claims_lapsed(now: datetime) -> QuerySet[Case]:
    return Case.objects.filter(state=State.IN_REVIEW, claimed_until__lte=now).order_by("claimed_until")


def approvals_over(now: datetime) -> QuerySet[Case]:
    return Case.objects.filter(state=State.APPROVED, expires_at__lte=now).order_by("expires_at")


def doubted() -> QuerySet[Case]:
    """Approvals that a provider contradicts, until people revoke or uphold them."""
    return Case.objects.filter(doubted_at__isnull=False).order_by("doubted_at")


def by_number(text: str) -> QuerySet[Case]:
    """Cases of all states with this number, however it is spelled. Raises WrongNumber."""
    return Case.objects.filter(number_hash__in=numbers.hashes_of(text))


def open_case_of(person: User) -> Case | None:
    return Case.objects.filter(person_id=person.pk, state__in=OPEN).first()


def cases_of(person: User, *, limit: int, before: UUID | None = None) -> list[Case]:
    """The person's cases with their images, the newest first, after the case `before`."""
    cases = Case.objects.filter(person_id=person.pk).order_by("-id").prefetch_related("documents")
    if before is not None:
        cases = cases.filter(pk__lt=own_case(person, before).pk)
    return list(cases[:limit])


def is_final(case: Case) -> bool:
    """A refusal that nothing can be handed in to any more.

    Its images are gone; or it was a fraud, and the claimed number must stay with it, to be known again.
    """
    return case.state == State.REJECTED and (case.erased_at is not None or case.reason_code in FRAUD)


def is_current(image: Document) -> bool:
    return image.replaced_at is None and image.deleted_at is None


def own_case(person: User, public_id: UUID, *, for_update: bool = False) -> Case:
    """Somebody else's case does not exist for this person. `for_update`: after the person is locked."""
    cases = Case.objects.select_for_update(no_key=True) if for_update else Case.objects.all()
    case = cases.filter(person_id=person.pk, public_id=public_id).first()
    if case is None:
        raise CaseNotFound
    return case
