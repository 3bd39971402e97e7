"""Applies decisions of reviewers, providers and periodic tasks to a locked case."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from core.states import By
from kyc import metrics
from kyc.cases.selectors import same_number
from kyc.cases.states import Event, Who
from kyc.cases.transitions import SYSTEM, Reason, change, require
from kyc.errors import DuplicateNumber, NotAllowed, ReasonMissing
from kyc.models import Case, RejectionReason, State
from kyc.models.cases import BY_PEOPLE

LONGEST_REASON = 2_000


def reason_from(reason_code: str, reason: str) -> Reason:
    """Returns an operator's reason. Raises ReasonMissing without a valid code or a text.

    The account holder reads the text.
    """
    fields = {}
    if reason_code not in BY_PEOPLE:
        fields["reason_code"] = [f"Use one of {', '.join(BY_PEOPLE)}."]
    if not reason.strip():
        fields["reason"] = ["Write a text for the account holder."]
    if fields:
        raise ReasonMissing("This decision needs a reason code and a text.", fields=fields)
    return Reason(reason_code, shortened(reason))


def note_from(reason: str) -> str:
    """Returns a note for the record. Raises ReasonMissing if it is empty."""
    if not reason.strip():
        raise ReasonMissing(
            "This decision needs a reason.", fields={"reason": ["Write what you checked, for the record."]}
        )
    return shortened(reason)


def shortened(reason: str) -> str:
    return reason.strip()[:LONGEST_REASON]


def grant(case: Case, by: By, words: str) -> Case:
    """Approves the case for KYC_APPROVAL_DAYS and ends an earlier approval of the same type.

    Raises DuplicateNumber if another account has the number, unless a reviewer approves with a reason. No
    lock on the number is needed: of two concurrent approvals, each sees the other case as open or approved.
    """
    require(case, Event.APPROVE, by)
    overrides = by.who == Who.CLAIMER and bool(words)
    if not overrides and same_number(case).exists():
        raise DuplicateNumber
    now = timezone.now()
    end_earlier_approval(case)
    until = now + timedelta(days=settings.KYC_APPROVAL_DAYS)
    change(
        case,
        Event.APPROVE,
        by,
        reason=Reason(reason=words),
        decided_at=now,
        decided_by_id=by.actor_id,
        expires_at=until,
    )
    count_decision("approved", by)
    return case


def end_earlier_approval(case: Case) -> None:
    earlier = Case.objects.select_for_update(no_key=True).filter(
        person_id=case.person_id, document_type=case.document_type, state=State.APPROVED
    )
    for approval in earlier:
        expire(approval, "A newer approval replaced it.")


def expire(case: Case, words: str) -> None:
    now = timezone.now()
    expires_at = min(case.expires_at or now, now)
    change(case, Event.EXPIRE, SYSTEM, reason=Reason(reason=words), expires_at=expires_at)
    count_decision("expired", SYSTEM)


def refuse(case: Case, event: Event, by: By, reason: Reason) -> Case:
    """Rejects or revokes."""
    change(case, event, by, reason=reason, decided_at=timezone.now(), decided_by_id=by.actor_id)
    count_decision("rejected" if event == Event.REJECT else "revoked", by)
    return case


def send_back(case: Case, by: By, reason: Reason) -> Case:
    change(case, Event.ASK_FOR_MORE, by, reason=reason)
    count_decision("asked_for_more", by)
    return case


def doubt(case: Case, by: By, note: str) -> Case:
    """Marks an approval as doubted; it stays valid until an operator revokes or upholds it."""
    return change(case, Event.DOUBT, by, note=note, doubted_at=timezone.now())


def uphold(case: Case, by: By, note: str) -> Case:
    """Makes it this operator's approval, which a provider cannot revoke. The time of the approval stays."""
    change(case, Event.UPHOLD, by, note=note, decided_by_id=by.actor_id)
    count_decision("upheld", by)
    return case


# --- Decisions of the provider ---


def decide_as_provider(case: Case, provider: str, *, approved: bool, reason: str) -> Case:
    """Approves or rejects. Raises the errors of `grant` and `refuse`, and NotAllowed for another provider."""
    by = by_provider(case, provider)
    if approved:
        return grant(case, by, shortened(reason))
    return refuse(case, Event.REJECT, by, Reason(RejectionReason.PROVIDER, shortened(reason)))


def revoke_as_provider(case: Case, provider: str, reason: str) -> Case:
    words = Reason(RejectionReason.PROVIDER, shortened(reason))
    return refuse(case, Event.REVOKE, by_provider(case, provider), words)


def doubt_as_provider(case: Case, provider: str, reason: str) -> Case:
    return doubt(case, by_provider(case, provider), shortened(reason))


def by_provider(case: Case, provider: str) -> By:
    """Returns the provider as actor. Raises NotAllowed if the case belongs to another provider."""
    if case.provider != provider:
        raise NotAllowed("Another provider checks this case.")
    return By(Who.PROVIDER, provider=provider)


def count_decision(decision: str, by: By) -> None:
    transaction.on_commit(partial(metrics.record_decision, decision, by.provider))
