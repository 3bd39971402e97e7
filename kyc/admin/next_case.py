"""Chooses the next case for a reviewer."""

from __future__ import annotations

from datetime import datetime

from django.db.models import Q, QuerySet
from django.utils import timezone

from accounts.models import User
from kyc import cases
from kyc.cases.selectors import waiting
from kyc.errors import ClaimedByAnother, NotInThisState
from kyc.models import Case, State

CANDIDATES = 20  # up to this number of reviewers can press the button concurrently, and each gets a case


def review_next(*, reviewer: User, besides: int | None = None) -> Case | None:
    """Returns a case that the reviewer has claimed already, else claims the oldest unclaimed case.

    `besides` is the id of the case to skip. Returns None if no case is left. Raises the errors of
    `cases.claim`.
    """
    now = timezone.now()
    others = waiting() if besides is None else waiting().exclude(pk=besides)
    held = others.filter(claimed_by=reviewer, claimed_until__gt=now).first()
    if held is not None:
        return held
    for case_id in list(free_for(reviewer, others, now).values_list("pk", flat=True)[:CANDIDATES]):
        try:
            return cases.claim(case_id=case_id, reviewer=reviewer)
        except (ClaimedByAnother, NotInThisState):
            continue
    return None


def free_for(reviewer: User, cases_in_queue: QuerySet[Case], now: datetime) -> QuerySet[Case]:
    """Selects cases without a valid claim that are not about the reviewer."""
    unclaimed = Q(state=State.SUBMITTED) | Q(claimed_until__lte=now)
    return cases_in_queue.filter(unclaimed).exclude(person=reviewer)


def neighbours(case: Case) -> tuple[int | None, int | None]:
    """Returns the ids of the waiting cases (previous, next) around `case` in the queue's order."""
    if case.submitted_at is None:
        return None, waiting().values_list("pk", flat=True).first()
    moment = case.submitted_at
    before = waiting().filter(submitted_at__lte=moment).exclude(submitted_at=moment, pk__gte=case.pk)
    after = waiting().filter(submitted_at__gte=moment).exclude(submitted_at=moment, pk__lte=case.pk)
    return (
        before.order_by("-submitted_at", "-pk").values_list("pk", flat=True).first(),
        after.values_list("pk", flat=True).first(),
    )
