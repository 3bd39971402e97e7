"""Changes escrows: drafts, proposals, agreement, cancellation, freezing, and what the clock does.

Each function is one transaction that locks first (transitions.py has the order). It raises the errors of
escrow/errors.py, and then nothing is changed. `if_version`: refuse if the escrow has changed since.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from accounts.models import User
from core.money import format_amount
from core.request_id import current_request_id
from core.states import By
from escrow.errors import (
    Expired,
    NotAllowed,
    OwnEscrow,
    OwnTerms,
    ReasonMissing,
    SameParty,
    Short,
    StepRefused,
    TermsChanged,
    TooManyVersions,
    WrongInput,
    WrongParty,
)
from escrow.escrows import invitations, terms
from escrow.escrows.constraints import constraints_named
from escrow.escrows.ends import end_by_agreement, end_without_funds
from escrow.escrows.terms import Draft
from escrow.escrows.texts import text_from
from escrow.escrows.transitions import (
    LONGEST_REASON,
    SYSTEM,
    Locked,
    by_party,
    change,
    current_terms,
    lock,
    lock_for_party,
    lock_people,
    refuse_frozen,
)
from escrow.models import Escrow, EscrowAgreement, EscrowTerms, Milestone, Role
from escrow.roles import FREEZE_ESCROW
from escrow.states import EXPIRING, HOLDS_ALL, NEGOTIATED, Event, State, Who

# --- Drafts and proposals ---


def save_draft(*, creator: User, role: str, currency: str, draft: Draft) -> Escrow:
    """Stores a checked draft, which only its creator sees, and returns it with its fees."""
    with constraints_named(), transaction.atomic():
        lock_people(creator.pk)
        escrow = new_escrow(creator, role, currency)
        write_terms(escrow, creator, draft)
        return escrow


def rewrite_draft(*, actor: User, public_id: UUID, draft: Draft, if_version: int | None = None) -> Escrow:
    """Replaces the terms of a draft; its time begins anew. Raises TooManyVersions."""
    with constraints_named(), transaction.atomic():
        escrow = lock_for_party(actor, public_id, if_version=if_version).escrow
        by = by_party(escrow, actor, Event.REWRITE)
        refuse_many_versions(escrow)
        write_terms(escrow, actor, draft)
        change(escrow, Event.REWRITE, by, expires_at=in_days(settings.ESCROW_PROPOSAL_DAYS))
        return escrow


def propose(
    *,
    creator: User,
    role: str,
    currency: str,
    draft: Draft,
    other_email: str = "",
    other_id: int | None = None,
) -> Escrow:
    """Proposes terms to the other party and returns the escrow. Proposing is agreeing to one's own terms.

    `role`: the creator's, buyer or seller. The other party is invited by e-mail, whether they have an account
    or not; `other_id` names an account that the caller knows, which needs no invitation.
    """
    with constraints_named(), transaction.atomic():
        lock_parties(creator, other_email, other_id)
        escrow = new_escrow(creator, role, currency)
        write_terms(escrow, creator, draft)
        present(escrow, creator, other_email, other_id)
        return escrow


def propose_draft(
    *,
    actor: User,
    public_id: UUID,
    other_email: str = "",
    other_id: int | None = None,
    if_version: int | None = None,
) -> Escrow:
    """Proposes a draft as it is, with the fees of now."""
    with constraints_named(), transaction.atomic():
        lock_parties(actor, other_email, other_id)
        escrow = lock_for_party(actor, public_id, if_version=if_version).escrow
        by_party(escrow, actor, Event.PROPOSE)
        write_terms(escrow, actor, terms.draft_of(current_terms(escrow).document))
        present(escrow, actor, other_email, other_id)
        return escrow


def counter_propose(*, actor: User, public_id: UUID, draft: Draft, if_version: int | None = None) -> Escrow:
    """Replaces the proposed terms. The other party has to agree to these; earlier agreements are void.

    Raises TooManyVersions.
    """
    with constraints_named(), transaction.atomic():
        escrow = lock_for_party(actor, public_id, if_version=if_version).escrow
        by = by_party(escrow, actor, Event.COUNTER_PROPOSE)
        refuse_expired(escrow)
        refuse_many_versions(escrow)
        write_terms(escrow, actor, draft)
        change(escrow, Event.COUNTER_PROPOSE, by, expires_at=in_days(settings.ESCROW_PROPOSAL_DAYS))
        agreed(escrow, actor)
        return escrow


def agree(*, actor: User, public_id: UUID, terms_hash: str, if_version: int | None = None) -> Escrow:
    """Agrees to the current terms, which `terms_hash` names: the escrow then waits for the buyer's money.

    Raises OwnTerms, TermsChanged, Expired or StepRefused.
    """
    with constraints_named(), transaction.atomic():
        escrow = lock_for_party(actor, public_id, if_version=if_version).escrow
        current = current_terms(escrow)
        if escrow.state == State.PROPOSED and current.proposed_by_id == actor.pk:
            raise OwnTerms
        by = by_party(escrow, actor, Event.AGREE)
        refuse_expired(escrow)
        if terms_hash != current.hash:
            raise TermsChanged
        agreed(escrow, actor)
        change(escrow, Event.AGREE, by, agreed_at=timezone.now())
        make_milestones(escrow, current)
        change(escrow, Event.AWAIT_FUNDS, SYSTEM, expires_at=in_days(settings.ESCROW_FUNDING_DAYS))
        return escrow


# --- Cancelling ---


def cancel(*, actor: User, public_id: UUID, reason: str = "", if_version: int | None = None) -> Escrow:
    """Ends the escrow before it is funded, or agrees to its end afterwards.

    After the funding both have to: the first call asks, a call of the other party ends it, and what was not
    released goes back to the buyer. Returns the escrow.
    """
    words = text_from(reason, "reason", longest=LONGEST_REASON)
    with constraints_named(), transaction.atomic():
        locked = lock_for_party(actor, public_id, if_version=if_version)
        escrow = locked.escrow
        refuse_frozen(escrow)
        if escrow.state in HOLDS_ALL:
            agree_to_cancel(locked, actor, words)
        else:
            end_without_funds(locked, Event.CANCEL, by_party(escrow, actor, Event.CANCEL), words)
        return escrow


def agree_to_cancel(locked: Locked, actor: User, reason: str) -> None:
    escrow = locked.escrow
    by = by_party(escrow, actor, Event.ASK_CANCEL)
    if escrow.cancel_asked_by_id == actor.pk:
        raise StepRefused("escrow", escrow.state, Event.ASK_CANCEL, "You have asked already.")
    if escrow.cancel_asked_by_id is None:
        change(escrow, Event.ASK_CANCEL, by, reason=reason, cancel_asked_by_id=actor.pk)
    else:
        end_by_agreement(locked, by, reason)


def keep(*, actor: User, public_id: UUID, if_version: int | None = None) -> Escrow:
    """Declines a request to cancel, or takes one's own back."""
    with transaction.atomic():
        escrow = lock_for_party(actor, public_id, if_version=if_version).escrow
        by = by_party(escrow, actor, Event.KEEP)
        if escrow.cancel_asked_by_id is None:
            raise StepRefused("escrow", escrow.state, Event.KEEP, "No party has asked to cancel it.")
        change(escrow, Event.KEEP, by, cancel_asked_by_id=None)
        return escrow


# --- Operators ---


@transaction.atomic
def freeze(*, escrow_id: int, operator: User, reason: str) -> Escrow:
    """Stops all money of the escrow, and its timers. Money that arrives is still kept in it."""
    escrow = lock_for_operator(escrow_id, operator, reason).escrow
    if escrow.frozen_at is not None:
        raise StepRefused("escrow", escrow.state, Event.FREEZE, "It is frozen already.")
    by = By(Who.OPERATOR, operator.pk)
    change(escrow, Event.FREEZE, by, reason=reason.strip(), frozen_at=timezone.now())
    return escrow


@transaction.atomic
def unfreeze(*, escrow_id: int, operator: User, reason: str) -> Escrow:
    """Lets it go on. Inspections get back the time for which it was frozen. Raises Short."""
    locked = lock_for_operator(escrow_id, operator, reason)
    escrow = locked.escrow
    if escrow.frozen_at is None:
        raise StepRefused("escrow", escrow.state, Event.UNFREEZE, "It is not frozen.")
    if escrow.short_minor:
        raise Short(format_amount(escrow.short_minor, escrow.currency))
    stood = timezone.now() - escrow.frozen_at
    change(escrow, Event.UNFREEZE, By(Who.OPERATOR, operator.pk), reason=reason.strip(), frozen_at=None)
    for milestone in locked.milestones:
        if milestone.auto_release_at is not None:
            milestone.auto_release_at += stood
            milestone.save(update_fields=["auto_release_at"])
    return escrow


def lock_for_operator(escrow_id: int, operator: User, reason: str) -> Locked:
    """Raises NotAllowed, ReasonMissing, or OwnEscrow: also a superuser is no judge of their own money."""
    if not operator.has_perm(FREEZE_ESCROW):
        raise NotAllowed
    if not reason.strip():
        raise ReasonMissing
    locked = lock(escrow_id)
    if operator.pk in (locked.escrow.buyer_id, locked.escrow.seller_id):
        raise OwnEscrow
    return locked


# --- Time ---

SWEPT_AT_ONCE = 500


def expire_due() -> int:
    """Ends drafts, proposals and unfunded escrows whose time is over, in one transaction each."""
    due = Escrow.objects.filter(
        state__in=EXPIRING, expires_at__lte=timezone.now(), frozen_at__isnull=True
    ).order_by("expires_at")
    return sum(expire_if_due(escrow_id) for escrow_id in due.values_list("pk", flat=True)[:SWEPT_AT_ONCE])


@transaction.atomic
def expire_if_due(escrow_id: int) -> bool:
    locked = lock(escrow_id)
    escrow = locked.escrow
    if escrow.state not in EXPIRING or escrow.frozen_at is not None or not is_over(escrow, timezone.now()):
        return False
    end_without_funds(locked, Event.EXPIRE, SYSTEM, "")
    return True


def is_over(escrow: Escrow, now: datetime) -> bool:
    return escrow.expires_at is not None and escrow.expires_at <= now


def refuse_expired(escrow: Escrow) -> None:
    if escrow.state in NEGOTIATED and escrow.expires_at is not None and is_over(escrow, timezone.now()):
        raise Expired(escrow.expires_at)


def in_days(days: int) -> datetime:
    return timezone.now() + timedelta(days=days)


# --- Steps of the above, in its transaction ---


def new_escrow(creator: User, role: str, currency: str) -> Escrow:
    if role not in Role.values:
        raise WrongInput(f"Use one of {', '.join(Role.values)}.", "role")
    return Escrow.objects.create(
        creator=creator,
        buyer=creator if role == Role.BUYER else None,
        seller=creator if role == Role.SELLER else None,
        currency=terms.currency_from(currency),
        expires_at=in_days(settings.ESCROW_PROPOSAL_DAYS),
    )


def refuse_many_versions(escrow: Escrow) -> None:
    """Raises TooManyVersions. A draft with that many can still be proposed, and agreed to."""
    if current_terms(escrow).number >= terms.MOST_VERSIONS:
        raise TooManyVersions(terms.MOST_VERSIONS)


def write_terms(escrow: Escrow, author: User, draft: Draft) -> None:
    """Appends a version of the terms and makes it the current one."""
    number = escrow.terms.number + 1 if escrow.terms else 1
    document = terms.document_of(
        draft,
        escrow_id=str(escrow.public_id),
        number=number,
        currency=escrow.currency,
        at=timezone.now(),
    )
    escrow.terms = EscrowTerms.objects.create(
        escrow=escrow, number=number, proposed_by=author, document=document, hash=terms.hash_of(document)
    )
    escrow.due_minor = document["due_minor"]
    escrow.save(update_fields=["terms", "due_minor"])


def present(escrow: Escrow, creator: User, other_email: str, other_id: int | None) -> None:
    """Makes a draft a proposal, and names or invites the other party."""
    fields: dict[str, Any] = {} if other_id is None else {f"{missing_role(escrow)}_id": other_id}
    by = By(Who.PROPOSER, creator.pk)
    change(escrow, Event.PROPOSE, by, expires_at=in_days(settings.ESCROW_PROPOSAL_DAYS), **fields)
    agreed(escrow, creator)
    if other_id is None:
        invitations.invite(escrow, creator, other_email)


def missing_role(escrow: Escrow) -> str:
    return "buyer" if escrow.buyer_id is None else "seller"


def lock_parties(creator: User, other_email: str, other_id: int | None) -> None:
    """Raises SameParty, WrongParty for an address or account that cannot be reached, or NotAllowed."""
    if other_id is None:
        invitations.refuse_address(creator, other_email)
        lock_people(creator.pk)
    elif other_id == creator.pk:
        raise SameParty("other_id")
    else:
        try:
            lock_people(creator.pk, other_id)
        except NotAllowed:
            raise WrongParty("There is no such account.", "other_id") from None


def agreed(escrow: Escrow, user: User) -> None:
    terms_now = current_terms(escrow)
    EscrowAgreement.objects.create(terms=terms_now, user=user, request_id=current_request_id())


def make_milestones(escrow: Escrow, agreed_terms: EscrowTerms) -> None:
    Milestone.objects.bulk_create(
        Milestone(
            escrow=escrow,
            seq=place,
            title=milestone["title"],
            amount_minor=milestone["amount_minor"],
            buyer_fee_minor=milestone["buyer_fee_minor"],
            seller_fee_minor=milestone["seller_fee_minor"],
        )
        for place, milestone in enumerate(agreed_terms.document["milestones"], start=1)
    )
