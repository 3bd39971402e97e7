"""What happens to a case: a person hands it in, a reviewer or a provider decides, time ends it.

Each function is one transaction that locks first (kyc/transitions.py has the order), and raises one of
kyc/errors.py without having changed anything.
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
from kyc import decisions, documents, metrics, numbers, providers, submission
from kyc.constraints import constraints_named
from kyc.decisions import reason_from, shortened
from kyc.models import Case, RejectionReason, Side, State
from kyc.roles import REVIEW_CASE, REVOKE_CASE
from kyc.selectors import approvals_over, claims_lapsed, own_case
from kyc.states import Event, Who
from kyc.transitions import (
    NO_REASON,
    SYSTEM,
    Reason,
    change,
    has_lapsed,
    lock_case,
    lock_for_operator,
    lock_person,
    refuse_anothers_claim,
    require,
)

SWEPT_AT_ONCE = 500

# --- The person ---


def submit(
    *, person: User, document_type: str, country: str, number: str, images: Mapping[Side, bytes]
) -> Case:
    """A new case in the queue; or the person's draft, continued. Raises CaseOpen when one waits already.

    A draft that was sent back keeps the images that are not replaced, as long as the document is the same.
    """
    with refusals_counted():
        identity = numbers.identity_of(document_type=document_type, country=country, number=number)
        # Before the work on the images; what counts is asked again under the lock.
        kept = submission.kept_sides(submission.draft_of(person), identity)
        submission.refuse_missing_images(identity.document_type, kept | set(images))
        clean = submission.clean_all(images)
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
    """A rejected case again, with what has to be better; the rest stays as it was."""
    with refusals_counted():
        known = own_case(person, public_id)
        require(known, Event.RESUBMIT, By(Who.PERSON, person.pk))
        submission.refuse_final(known, Event.RESUBMIT)
        identity = submission.identity_after(known, document_type, country, number)
        kind = identity.document_type if identity else known.document_type
        submission.refuse_missing_images(kind, submission.kept_sides(known, identity) | set(images))
        clean = submission.clean_all(images)
        with constraints_named(), documents.stored(clean) as files, transaction.atomic():
            submission.refuse_closed_account(lock_person(person.pk))
            case = own_case(person, public_id, for_update=True)
            require(case, Event.RESUBMIT, By(Who.PERSON, person.pk))
            submission.refuse_second_case(person)
            return submission.hand_in(case, Event.RESUBMIT, identity, files, set(clean))


@transaction.atomic
def withdraw(*, person: User, public_id: UUID) -> Case:
    """Out of the queue, as a draft; its images are deleted."""
    lock_person(person.pk)
    case = own_case(person, public_id, for_update=True)
    change(case, Event.WITHDRAW, By(Who.PERSON, person.pk), reason=NO_REASON)
    documents.delete_files_of(case)
    providers.cancel_checks(case=case)
    return case


@contextmanager
def refusals_counted() -> Iterator[None]:
    """Nothing of a refused submission is committed, so there is no commit to wait for."""
    try:
        yield
    except AmaniError:
        metrics.record_submission("refused")
        raise


# --- Operators ---


@transaction.atomic
def claim(*, case_id: int, reviewer: User) -> Case:
    """Nobody else reviews it for KYC_CLAIM_MINUTES. A claim that has lapsed may be taken over."""
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
    """Back into the queue, in its old place."""
    case = lock_for_operator(case_id, reviewer, REVIEW_CASE)
    return change(case, Event.RELEASE, By(Who.CLAIMER, reviewer.pk))


def approve(*, case_id: int, reviewer: User, reason: str = "") -> Case:
    """Ends the person's earlier approval of the same type.

    Raises DuplicateNumber when another account claims the number and `reason` does not say why it is right.
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
    """Back to the person as a draft that tells them what is missing; the images stay."""
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
    """The approval stands although the provider doubts it. The person learns of neither."""
    note = decisions.note_from(reason)
    case = lock_for_operator(case_id, actor, REVOKE_CASE)
    return decisions.uphold(case, By(Who.REVOKER, actor.pk), note)


# --- Providers ---


def decide_by_provider(*, case_id: int, provider: str, approved: bool, reason: str) -> Case:
    """The word of the provider that was asked, while nobody reviews the case. Its check stays the caller's.

    Raises NotInThisState when somebody was quicker, and DuplicateNumber when another account claims the
    number: then a person has to look, and the case stays in the queue.
    """
    with constraints_named(), transaction.atomic():
        case = lock_case(case_id)
        decisions.refuse_other_provider(case, provider)
        by = By(Who.PROVIDER, provider=provider)
        if approved:
            return decisions.grant(case, by, shortened(reason))
        words = Reason(RejectionReason.PROVIDER, shortened(reason))
        return decisions.refuse(case, Event.REJECT, by, words)


@transaction.atomic
def revoke_by_provider(*, case_id: int, provider: str, reason: str) -> Case:
    """A late reversal of an approval that was the provider's own word."""
    case = lock_case(case_id)
    decisions.refuse_other_provider(case, provider)
    words = Reason(RejectionReason.PROVIDER, shortened(reason))
    return decisions.refuse(case, Event.REVOKE, By(Who.PROVIDER, provider=provider), words)


@transaction.atomic
def doubt_by_provider(*, case_id: int, provider: str, reason: str) -> Case:
    """Late news against an approval that is not the provider's to take back: people have to look at it."""
    case = lock_case(case_id)
    decisions.refuse_other_provider(case, provider)
    return decisions.doubt(case, By(Who.PROVIDER, provider=provider), shortened(reason))


# --- Time ---


def expire_due() -> int:
    """Ends approvals whose time is over; how many. One transaction each: none waits for the others."""
    due = approvals_over(timezone.now()).values_list("pk", flat=True)
    return sum(expire_if_due(case_id) for case_id in due[:SWEPT_AT_ONCE])


@transaction.atomic
def expire_if_due(case_id: int) -> bool:
    case = lock_case(case_id)
    if case.state != State.APPROVED or case.expires_at is None or case.expires_at > timezone.now():
        return False
    decisions.expire(case, "The time of this approval is over.")
    return True


def lapse_claims() -> int:
    """Puts cases whose reviewer stayed away back into the queue; how many."""
    due = claims_lapsed(timezone.now()).values_list("pk", flat=True)
    return sum(lapse_if_due(case_id) for case_id in due[:SWEPT_AT_ONCE])


@transaction.atomic
def lapse_if_due(case_id: int) -> bool:
    case = lock_case(case_id)
    if not has_lapsed(case, timezone.now()):
        return False
    change(case, Event.LAPSE, SYSTEM)
    return True
