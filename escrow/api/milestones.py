"""Serves /api/v1/milestones: deliver, reject, release and give back. Each change is one service."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from ninja import Query, Router
from pydantic import Field

from accounts.api import person_of
from core.api.cursors import next_cursor, read_cursor
from core.api.once import Answer
from core.api.versions import changes_a_version, etag, wanted_version
from escrow import escrows
from escrow.api import queries
from escrow.api.escrows import Reason
from escrow.api.keys import once
from escrow.api.schemas import Cursor, Limit, Strict
from escrow.api.shown import MilestoneShown, milestone_shown
from escrow.api.terms import Amount, amounts_as_sent
from escrow.escrows.selectors import milestone_of
from escrow.escrows.transitions import LONGEST_REASON
from escrow.models import Milestone
from escrow.states import MilestoneState

router = Router()

CURSORS = "milestones"


class MilestonePage(Strict):
    items: list[MilestoneShown]
    next: str | None = Field(description="The `cursor` of the next page; null on the last.")


class Rejection(Strict):
    reason: str = Field(min_length=1, max_length=LONGEST_REASON, description="For the seller.")


class Part(Strict):
    amount: Amount = Field(description="Less than what is left; to release all of it, approve.")


class Refund(Strict):
    reason: Reason = ""


def answer(request: HttpRequest, milestone: Milestone) -> Answer:
    shown = milestone_shown(milestone, milestone.escrow, person_of(request))
    return Answer(200, shown, version=milestone.version)


@router.get(
    "", response=MilestonePage, operation_id="list_milestones", summary="Your milestones, the newest first"
)
def list_milestones(
    request: HttpRequest,
    state: MilestoneState | None = None,
    escrow: Annotated[UUID | None, Query(description="Only those of this escrow.")] = None,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> MilestonePage:
    person = person_of(request)
    last = read_cursor(CURSORS, cursor, UUID)
    found = queries.milestones_page(person, last=last, limit=limit + 1, state=state, escrow_id=escrow)
    return MilestonePage(
        items=[milestone_shown(one, one.escrow, person) for one in found[:limit]],
        next=next_cursor(CURSORS, found, limit, lambda one: one.public_id),
    )


@router.get(
    "/{uuid:id}", response=MilestoneShown, operation_id="show_milestone", summary="One of your milestones"
)
def show_milestone(
    request: HttpRequest,
    response: HttpResponse,
    id: UUID,  # noqa: A002  (the path's own name)
) -> MilestoneShown:
    milestone = milestone_of(person_of(request), id)
    response.headers["ETag"] = etag(milestone.version)
    return milestone_shown(milestone, milestone.escrow, person_of(request))


@router.post(
    "/{uuid:id}/submit",
    response=MilestoneShown,
    operation_id="submit_milestone",
    summary="Say that it is delivered (seller)",
    description="The buyer then has the agreed days to look at it.",
)
@changes_a_version
@once(moves_money=False)
def submit_milestone(request: HttpRequest, id: UUID) -> Answer:  # noqa: A002
    milestone = escrows.submit(actor=person_of(request), public_id=id, if_version=wanted_version(request))
    return answer(request, milestone)


@router.post(
    "/{uuid:id}/reject",
    response=MilestoneShown,
    operation_id="reject_milestone",
    summary="Send a delivery back (buyer)",
)
@changes_a_version
@once(moves_money=False)
def reject_milestone(request: HttpRequest, id: UUID, rejection: Rejection) -> Answer:  # noqa: A002
    milestone = escrows.reject(
        actor=person_of(request),
        public_id=id,
        reason=rejection.reason,
        if_version=wanted_version(request),
    )
    return answer(request, milestone)


@router.post(
    "/{uuid:id}/approve",
    response=MilestoneShown,
    operation_id="approve_milestone",
    summary="Accept it and release what is left (buyer)",
    description="`release_requested`: the seller cannot receive the money yet; it follows by itself.",
)
@changes_a_version
@once(moves_money=True)
def approve_milestone(request: HttpRequest, id: UUID) -> Answer:  # noqa: A002
    milestone = escrows.approve(actor=person_of(request), public_id=id, if_version=wanted_version(request))
    return answer(request, milestone)


@router.post(
    "/{uuid:id}/release",
    response=MilestoneShown,
    operation_id="release_part_of_milestone",
    summary="Release a part of it (buyer)",
)
@changes_a_version
@once(moves_money=True)
def release_part(request: HttpRequest, id: UUID, part: Part) -> Answer:  # noqa: A002
    currency = milestone_of(person_of(request), id).escrow.currency
    with amounts_as_sent():
        milestone = escrows.release_partially(
            actor=person_of(request),
            public_id=id,
            amount_minor=part.amount.in_currency(currency, "amount"),
            if_version=wanted_version(request),
        )
    return answer(request, milestone)


@router.post(
    "/{uuid:id}/refund",
    response=MilestoneShown,
    operation_id="refund_milestone",
    summary="Give what is left back to the buyer (seller)",
)
@changes_a_version
@once(moves_money=True)
def refund_milestone(request: HttpRequest, id: UUID, refund: Refund) -> Answer:  # noqa: A002
    milestone = escrows.refund(
        actor=person_of(request), public_id=id, reason=refund.reason, if_version=wanted_version(request)
    )
    return answer(request, milestone)
