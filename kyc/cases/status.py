"""Computes a user's status: tier, limits, and the next step."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

from django.utils import timezone

from accounts.models import User
from kyc.cases.selectors import is_final
from kyc.limits import PersonalLimit, limits_of
from kyc.models import Case, State
from kyc.models.cases import OPEN
from kyc.tiers import next_tier, tier_of


class Next(StrEnum):
    SUBMIT = "submit"
    WAIT = "wait"
    COMPLETE = "complete"
    RESUBMIT = "resubmit"
    NOTHING = "nothing"


MESSAGES = {
    Next.SUBMIT: "Submit a document: POST /api/v1/kyc/cases.",
    Next.WAIT: "Your document is being checked. You don't need to do anything.",
    Next.COMPLETE: "Read the case's reason, then send what is missing: POST /api/v1/kyc/cases.",
    Next.RESUBMIT: "Read the case's reason, then send it again: POST /api/v1/kyc/cases/{id}/resubmit.",
    Next.NOTHING: "Your document is approved. You don't need to do anything.",
}


class Status(NamedTuple):
    tier: int
    case: UUID | None
    next: Next
    message: str
    valid_until: datetime | None
    next_tier: str
    limits: list[PersonalLimit]


def status_of(person: User) -> Status:
    """Returns the person's status.

    `case`: the case that `next` refers to. `valid_until`: the end of the last approval. `next_tier`: text
    that says how to reach it; "" at the highest tier.
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
    return Status(tier, about, step, MESSAGES[step], valid_until, further.how if further else "", limits)


def next_step(latest: Case | None, *, is_approved: bool) -> Next:
    if latest is not None:
        if latest.state in {State.SUBMITTED, State.IN_REVIEW}:
            return Next.WAIT
        if latest.state == State.DRAFT and latest.reason:
            return Next.COMPLETE
        if latest.state == State.REJECTED and not is_final(latest) and not is_approved:
            return Next.RESUBMIT
    return Next.NOTHING if is_approved else Next.SUBMIT
