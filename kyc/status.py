"""Where a person stands, and what they should do next."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

from django.utils import timezone

from accounts.models import User
from kyc.limits import Standing, limits_of
from kyc.models import Case, State
from kyc.models.cases import OPEN
from kyc.selectors import is_final
from kyc.tiers import next_tier, tier_of


class Next(StrEnum):
    SUBMIT = "submit"
    WAIT = "wait"
    COMPLETE = "complete"
    RESUBMIT = "resubmit"
    NOTHING = "nothing"


WORDS = {
    Next.SUBMIT: "Submit a document: POST /api/v1/kyc/cases.",
    Next.WAIT: "Your document is being checked. There is nothing to do.",
    Next.COMPLETE: "Read the case's reason, then send what is missing: POST /api/v1/kyc/cases.",
    Next.RESUBMIT: "Read the case's reason, then send it again: POST /api/v1/kyc/cases/{id}/resubmit.",
    Next.NOTHING: "Your document is approved. There is nothing to do.",
}


class Status(NamedTuple):
    tier: int
    case: UUID | None
    next: Next
    message: str
    valid_until: datetime | None
    next_tier: str
    limits: list[Standing]


def status_of(person: User) -> Status:
    """`case`: the one that `next` is about. `valid_until`: when the last approval ends.

    `next_tier`: how to get there, in words; "" from the highest.
    """
    now = timezone.now()
    cases = Case.objects.filter(person_id=person.pk)
    latest = cases.filter(state__in=OPEN).first() or cases.first()
    approvals = cases.filter(state=State.APPROVED, expires_at__gt=now).order_by("-expires_at")
    valid_until = approvals.values_list("expires_at", flat=True).first()
    step = next_step(latest, is_approved=valid_until is not None)
    about = latest.public_id if latest and step in {Next.WAIT, Next.COMPLETE, Next.RESUBMIT} else None
    tier = tier_of(person_id=person.pk, at=now)
    further = next_tier(tier)
    limits = limits_of(person_id=person.pk, at=now)
    return Status(tier, about, step, WORDS[step], valid_until, further.how if further else "", limits)


def next_step(latest: Case | None, *, is_approved: bool) -> Next:
    if latest is not None:
        if latest.state in {State.SUBMITTED, State.IN_REVIEW}:
            return Next.WAIT
        if latest.state == State.DRAFT and latest.reason:
            return Next.COMPLETE
        if latest.state == State.REJECTED and not is_final(latest) and not is_approved:
            return Next.RESUBMIT
    return Next.NOTHING if is_approved else Next.SUBMIT
