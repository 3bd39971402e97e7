"""Steps of `submit` and `resubmit` in kyc/cases/services.py: document, images, and the way into the queue.

The caller has locked the person, unless a docstring says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from accounts.models import User
from core.encryption import encrypt
from core.states import By
from kyc import documents, metrics, providers
from kyc.cases import numbers
from kyc.cases.numbers import Identity
from kyc.cases.selectors import is_final, open_case_of
from kyc.cases.states import Event, Who
from kyc.cases.transitions import NO_REASON, change
from kyc.document_types import missing_images
from kyc.documents import CleanImage, StoredImages
from kyc.errors import CaseOpen, ImagesMissing, NotAllowed, NotInThisState, WrongNumber
from kyc.models import Case, Document, DocumentType, Side, State


def draft_of(person: User) -> Case | None:
    """Returns the person's open case if it is a draft, or None. Raises CaseOpen if it is waiting."""
    case = open_case_of(person)
    if case is not None and case.state != State.DRAFT:
        raise CaseOpen(case.public_id)
    return case


def new_draft(person: User, identity: Identity) -> Case:
    fields = identity_fields(identity)
    return Case.objects.create(person_id=person.pk, provider=settings.KYC_PROVIDER, **fields)


def refuse_closed_account(person: User) -> None:
    """Raises NotAllowed if the account was closed or erased since the request was authenticated."""
    if person.erased_at is not None or not person.is_active:
        raise NotAllowed("This account is closed.")


def refuse_second_case(person: User) -> None:
    case = open_case_of(person)
    if case is not None:
        raise CaseOpen(case.public_id)


def clean_all(person: User, images: Mapping[Side, bytes]) -> dict[Side, CleanImage]:
    """Returns the rewritten images; the caller has made all other checks, because this costs most.

    Raises a FileRefused, and Busy while other images are being rewritten.
    """
    if not images:
        return {}
    with documents.turn(person.pk):
        return {side: documents.clean(content=content, side=side) for side, content in images.items()}


def identity_after(
    case: Case, document_type: str | None, country: str | None, number: str | None
) -> Identity | None:
    """Returns the new document of a resubmission, or None if it is the same as before."""
    kind = document_type or case.document_type
    place = country or case.country
    if number is not None:
        return numbers.identity_of(document_type=kind, country=place, number=number)
    if (numbers.document_type_of(kind), numbers.country_of(place)) != (case.document_type, case.country):
        raise WrongNumber("Another type or country means another document: send its number as well.")
    return None


def identity_fields(identity: Identity) -> dict[str, Any]:
    return {
        "document_type": identity.document_type,
        "country": identity.country,
        "number_encrypted": encrypt(identity.number.encode()),
        "number_hash": numbers.hash_number(**identity._asdict()),
        "number_last": numbers.last_of(identity.number),
    }


def is_other_document(case: Case, identity: Identity | None) -> bool:
    """Returns whether type or country differ. Another number alone may correct a typing error."""
    return identity is not None and identity[:2] != (case.document_type, case.country)


def refuse_missing_images(kind: str, present: set[Side]) -> None:
    missing = missing_images(DocumentType(kind), present)
    if missing:
        raise ImagesMissing(missing)


def kept_sides(case: Case | None, identity: Identity | None) -> set[Side]:
    """Returns the sides whose stored images stay valid when `case` is continued with `identity`."""
    if case is None or is_other_document(case, identity):
        return set()
    return {Side(side) for side in current_images(case).values_list("side", flat=True)}


def current_images(case: Case) -> QuerySet[Document]:
    return case.documents.filter(replaced_at__isnull=True, deleted_at__isnull=True)


def refuse_final(case: Case, event: Event) -> None:
    if is_final(case):
        raise NotInThisState(case.state, event, "its rejection is final, so submit a document in a new case")


def hand_in(
    case: Case, event: Event, identity: Identity | None, files: StoredImages, sides: set[Side]
) -> Case:
    """Puts the case into the queue, in the caller's transaction, and returns it."""
    status = "resubmitted" if case.version else "submitted"
    now = timezone.now()
    refuse_final(case, event)
    kind = identity.document_type if identity else case.document_type
    refuse_missing_images(kind, sides | kept_sides(case, identity))
    if is_other_document(case, identity):
        current_images(case).update(replaced_at=now)
    fields = identity_fields(identity) if identity else {}
    fields |= {
        "submitted_at": now,
        "provider": settings.KYC_PROVIDER,
        "decided_at": None,
        "decided_by_id": None,
    }
    change(case, event, By(Who.PERSON, case.person_id), reason=NO_REASON, **fields)
    files.attach(case)
    providers.plan_check(case=case)
    transaction.on_commit(partial(metrics.record_submission, status))
    return case
