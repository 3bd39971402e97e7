"""Changes cases: submission, review by operators, results of providers, and expiry.

Each function is one transaction that locks first (kyc/cases/transitions.py defines the order). It raises the
errors of kyc/errors.py, and then nothing is changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from accounts.models import User
from core.errors import AmaniError
from core.states import By
from kyc import documents, metrics, providers
from kyc.cases import decisions, numbers, submission
from kyc.cases.constraints import constraints_named
from kyc.cases.decisions import reason_from, shortened
from kyc.cases.selectors import approvals_over, claims_lapsed, own_case
from kyc.cases.states import Event, Who
from kyc.cases.transitions import (
    NO_REASON,
    SYSTEM,
    change,
    has_lapsed,
    lock_case,
    lock_for_operator,
    lock_person,
    refuse_anothers_claim,
    require,
)
from kyc.models import Case, Side, State
from kyc.roles import REVIEW_CASE, REVOKE_CASE

SWEPT_AT_ONCE = 500

# --- The person ---


def submit(
    *, person: User, document_type: str, country: str, number: str, images: Mapping[Side, bytes]
) -> Case:
    """Submits a new case, or the person's draft, and returns it. Raises CaseOpen if a case is waiting.

    A draft that was sent back keeps the images that are not replaced, if the document is the same.
    """
    with refusals_counted():
        identity = numbers.identity_of(document_type=document_type, country=country, number=number)
        # Checked before the expensive work on the images, and again under the lock.
        submission.refuse_closed_account(person)
        kept = submission.kept_sides(submission.draft_of(person), identity)
        submission.refuse_missing_images(identity.document_type, kept | set(images))
        clean = submission.clean_all(person, images)
        with constraints_named(), documents.stored(clean) as files, transaction.atomic():
            submission.refuse_closed_account(lock_person(person.pk))
            case = submission.draft_of(person) or submission.new_draft(person, identity)
            return submission.hand_in(case, Event.SUBMIT, identity, files, set(clean))


def resubmit(
    *,
    person: User,
    public_id: UUID,
    document_type: str | None = None,
    country: str | None = None,
    number: str | None = None,
    images: Mapping[Side, bytes],
) -> Case:
    """Submits a rejected case again with the given changes; values that are None stay unchanged."""
    with refusals_counted():
        known = own_case(person, public_id)
        require(known, Event.RESUBMIT, By(Who.PERSON, person.pk))
        submission.refuse_final(known, Event.RESUBMIT)
        submission.refuse_closed_account(person)
        submission.refuse_second_case(person)
        identity = submission.identity_after(known, document_type, country, number)
        kind = identity.document_type if identity else known.document_type
        submission.refuse_missing_images(kind, submission.kept_sides(known, identity) | set(images))
        clean = submission.clean_all(person, images)
        with constraints_named(), documents.stored(clean) as files, transaction.atomic():
            submission.refuse_closed_account(lock_person(person.pk))
            case = own_case(person, public_id, for_update=True)
            require(case, Event.RESUBMIT, By(Who.PERSON, person.pk))
            submission.refuse_second_case(person)
            return submission.hand_in(case, Event.RESUBMIT, identity, files, set(clean))


@transaction.atomic
def withdraw(*, person: User, public_id: UUID) -> Case:
    """Takes the case out of the queue: it becomes a draft, and its images are deleted."""
    lock_person(person.pk)
    case = own_case(person, public_id, for_update=True)
    change(case, Event.WITHDRAW, By(Who.PERSON, person.pk), reason=NO_REASON)
    documents.delete_files_of(case)
    providers.cancel_checks(case=case)
    return case


@contextmanager
def refusals_counted() -> Iterator[None]:
    """Counts a refused submission at once: nothing of it is committed, so no commit is awaited."""
    try:
        yield
    except documents.Busy:
        metrics.record_submission("busy")
        raise
    except AmaniError:
        metrics.record_submission("refused")
        raise


# --- Operators ---


@transaction.atomic
def claim(*, case_id: int, reviewer: User) -> Case:
    """Reserves the case for the reviewer for KYC_CLAIM_MINUTES; takes over a lapsed claim.

    Raises ClaimedByAnother or NotInThisState.
    """
    case = lock_for_operator(case_id, reviewer, REVIEW_CASE)
    now = timezone.now()
    if has_lapsed(case, now):
        change(case, Event.LAPSE, SYSTEM)
    refuse_anothers_claim(case, reviewer.pk)
    until = now + timedelta(minutes=settings.KYC_CLAIM_MINUTES)
    by = By(Who.REVIEWER, reviewer.pk)
    return change(case, Event.CLAIM, by, claimed_by_id=reviewer.pk, claimed_until=until)


@transaction.atomic
def release(*, case_id: int, reviewer: User) -> Case:
    """Gives up the claim; the case returns to its old place in the queue."""
    case = lock_for_operator(case_id, reviewer, REVIEW_CASE)
    return change(case, Event.RELEASE, By(Who.CLAIMER, reviewer.pk))


def approve(*, case_id: int, reviewer: User, reason: str = "") -> Case:
    """Approves the case, and ends the person's earlier approval of the same type.

    Raises DuplicateNumber if another account has the number and `reason` is empty.
    """
    with constraints_named(), transaction.atomic():
        case = lock_for_operator(case_id, reviewer, REVIEW_CASE)
        decisions.grant(case, By(Who.CLAIMER, reviewer.pk), shortened(reason))
        providers.cancel_checks(case=case)
        return case


@transaction.atomic
def reject(*, case_id: int, reviewer: User, reason_code: str, reason: str) -> Case:
    words = reason_from(reason_code, reason)
    case = lock_for_operator(case_id, reviewer, REVIEW_CASE)
    decisions.refuse(case, Event.REJECT, By(Who.CLAIMER, reviewer.pk), words)
    providers.cancel_checks(case=case)
    return case


@transaction.atomic
def ask_for_more(*, case_id: int, reviewer: User, reason_code: str, reason: str) -> Case:
    """Sends the case back as a draft with the reason for the account holder; the images stay."""
    words = reason_from(reason_code, reason)
    case = lock_for_operator(case_id, reviewer, REVIEW_CASE)
    decisions.send_back(case, By(Who.CLAIMER, reviewer.pk), words)
    providers.cancel_checks(case=case)
    return case


@transaction.atomic
def revoke(*, case_id: int, actor: User, reason_code: str, reason: str) -> Case:
    words = reason_from(reason_code, reason)
    case = lock_for_operator(case_id, actor, REVOKE_CASE)
    return decisions.refuse(case, Event.REVOKE, By(Who.REVOKER, actor.pk), words)


@transaction.atomic
def uphold(*, case_id: int, actor: User, reason: str) -> Case:
    """Confirms an approval that the provider doubts. The account holder is not informed."""
    note = decisions.note_from(reason)
    case = lock_for_operator(case_id, actor, REVOKE_CASE)
    return decisions.uphold(case, By(Who.REVOKER, actor.pk), note)


# --- Providers ---


def decide_by_provider(*, case_id: int, provider: str, approved: bool, reason: str) -> Case:
    """Approves or rejects while no operator reviews the case. Returns the case.

    `reason` is for the account holder. Raises NotInThisState after another decision, NotAllowed for another
    provider, and DuplicateNumber if another account has the number: then the case stays in the queue.
    """
    with constraints_named(), transaction.atomic():
        return decisions.decide_as_provider(lock_case(case_id), provider, approved=approved, reason=reason)


@transaction.atomic
def revoke_by_provider(*, case_id: int, provider: str, reason: str) -> Case:
    """Revokes an approval that the provider gave. Raises NotInThisState and NotAllowed."""
    return decisions.revoke_as_provider(lock_case(case_id), provider, reason)


@transaction.atomic
def doubt_by_provider(*, case_id: int, provider: str, reason: str) -> Case:
    """Marks an approval that the provider may not revoke. Raises NotInThisState and NotAllowed."""
    return decisions.doubt_as_provider(lock_case(case_id), provider, reason)


# --- Time ---


def expire_due() -> int:
    """Ends approvals that have expired, in one transaction each, and returns how many."""
    due = approvals_over(timezone.now()).values_list("pk", flat=True)
    return sum(expire_if_due(case_id) for case_id in due[:SWEPT_AT_ONCE])


@transaction.atomic
def expire_if_due(case_id: int) -> bool:
    case = lock_case(case_id)
    if case.state != State.APPROVED or case.expires_at is None or case.expires_at > timezone.now():
        return False
    decisions.expire(case, "The approval has expired.")
    return True


def lapse_claims() -> int:
    """Returns cases with lapsed claims to the queue, and returns how many."""
    due = claims_lapsed(timezone.now()).values_list("pk", flat=True)
    return sum(lapse_if_due(case_id) for case_id in due[:SWEPT_AT_ONCE])


@transaction.atomic
def lapse_if_due(case_id: int) -> bool:
    case = lock_case(case_id)
    if not has_lapsed(case, timezone.now()):
        return False
    change(case, Event.LAPSE, SYSTEM)
    return True
