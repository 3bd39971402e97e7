"""Serves /api/v1/escrows: draft, propose, agree, cancel, and what happened. Each change is one service."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from ninja import Query, Router
from pydantic import Field

from accounts.api import person_of
from core.api.cursors import next_cursor, read_cursor
from core.api.once import Answer
from core.api.versions import changes_a_version, etag, wanted_version
from escrow import escrows
from escrow.api import queries
from escrow.api.keys import once
from escrow.api.schemas import CURRENCY, Cursor, EscrowState, Limit, Moment, Money, Strict, money
from escrow.api.shown import EscrowShown, escrow_shown
from escrow.api.terms import Currency, TermsWanted, amounts_as_sent
from escrow.escrows.fees import FeePayer
from escrow.escrows.selectors import escrow_of
from escrow.escrows.terms import MOST_MILESTONES, amount_from, parts_for
from escrow.escrows.transitions import LONGEST_REASON
from escrow.models import Escrow, Role

router = Router()

CURSORS = "escrows"
OtherEmail = Annotated[
    str,
    Field(
        max_length=254,
        description="The other party's address, with or without an account. They get a mail.",
        examples=["bola@example.com"],
    ),
]
Reason = Annotated[str, Field(max_length=LONGEST_REASON, description="For the other party.")]


class EscrowWanted(TermsWanted):
    role: Role = Field(description="Yours.")
    currency: Currency


class Proposal(Strict):
    other_email: OtherEmail


class Agreement(Strict):
    terms_hash: str = Field(
        pattern="^[0-9a-f]{64}$", description="`terms.hash` of the version that you have read."
    )


class Cancellation(Strict):
    reason: Reason = ""


class EscrowPage(Strict):
    items: list[EscrowShown]
    next: str | None = Field(description="The `cursor` of the next page; null on the last.")


class FeeShown(Strict):
    amount: Money = Field(description="All milestones.")
    fee: Money
    buyer_pays: Money
    seller_gets: Money


def answer(request: HttpRequest, escrow: Escrow, status: int = 200) -> Answer:
    location = f"{request.path}/{escrow.public_id}" if status == 201 else ""
    return Answer(status, escrow_shown(escrow, person_of(request)), location=location, version=escrow.version)


def new_terms(
    request: HttpRequest, public_id: UUID, wanted: TermsWanted, replace: Callable[..., Escrow]
) -> Answer:
    """Answers with the escrow after the service `replace` gave it the wanted terms."""
    person = person_of(request)
    draft = wanted.draft(escrow_of(person, public_id).currency)
    with amounts_as_sent():
        escrow = replace(actor=person, public_id=public_id, draft=draft, if_version=wanted_version(request))
    return answer(request, escrow)


@router.post(
    "",
    response={201: EscrowShown},
    operation_id="create_escrow",
    summary="Write a draft",
    description="Only you see a draft. Its terms have the fee of now; propose it to the other party next.",
)
@once(moves_money=False)
def create_escrow(request: HttpRequest, wanted: EscrowWanted) -> Answer:
    draft = wanted.draft(wanted.currency)
    with amounts_as_sent():
        escrow = escrows.save_draft(
            creator=person_of(request), role=wanted.role, currency=wanted.currency, draft=draft
        )
    return answer(request, escrow, 201)


@router.get(
    "/fee",
    response=FeeShown,
    operation_id="preview_fee",
    summary="The fee before anything is agreed",
    description="By the rule of now. `amount_minor` once for each milestone.",
)
def preview_fee(
    request: HttpRequest,
    currency: Annotated[str, Query(pattern=CURRENCY)],
    amount_minor: Annotated[list[int], Query(min_length=1, max_length=MOST_MILESTONES)],
    fee_payer: FeePayer = FeePayer.BUYER,
) -> FeeShown:
    amounts = [amount_from(amount, "amount_minor") for amount in amount_minor]
    parts = parts_for(amounts, currency, fee_payer, timezone.now())
    return FeeShown(
        amount=money(sum(amounts), currency),
        fee=money(parts.total_minor, currency),
        buyer_pays=money(sum(amounts) + sum(parts.buyer), currency),
        seller_gets=money(sum(amounts) - sum(parts.seller), currency),
    )


@router.get("", response=EscrowPage, operation_id="list_escrows", summary="Your escrows, the newest first")
def list_escrows(
    request: HttpRequest,
    state: EscrowState | None = None,
    role: Role | None = None,
    currency: Annotated[str | None, Query(pattern=CURRENCY)] = None,
    created_from: Annotated[Moment | None, Query(description="Inclusive.")] = None,
    created_to: Annotated[Moment | None, Query(description="Exclusive.")] = None,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> EscrowPage:
    person = person_of(request)
    found = queries.escrows_page(
        person,
        last=read_cursor(CURSORS, cursor, UUID),
        limit=limit + 1,
        state=state,
        role=role,
        currency=currency,
        created_from=created_from,
        created_to=created_to,
    )
    return EscrowPage(
        items=[escrow_shown(escrow, person) for escrow in found[:limit]],
        next=next_cursor(CURSORS, found, limit, lambda escrow: escrow.public_id),
    )


@router.get("/{uuid:id}", response=EscrowShown, operation_id="show_escrow", summary="One of your escrows")
def show_escrow(
    request: HttpRequest,
    response: HttpResponse,
    id: UUID,  # noqa: A002  (the path's own name)
) -> EscrowShown:
    escrow = escrow_of(person_of(request), id)
    response.headers["ETag"] = etag(escrow.version)
    return escrow_shown(escrow, person_of(request))


@router.post(
    "/{uuid:id}/rewrite",
    response=EscrowShown,
    operation_id="rewrite_escrow",
    summary="Write a draft anew",
    description="Replaces its terms, with the fee of now. What is not sent is not kept.",
)
@changes_a_version
@once(moves_money=False)
def rewrite_escrow(
    request: HttpRequest,
    id: UUID,  # noqa: A002  (the path's own name)
    wanted: TermsWanted,
) -> Answer:
    return new_terms(request, id, wanted, escrows.rewrite_draft)


@router.post(
    "/{uuid:id}/propose",
    response=EscrowShown,
    operation_id="propose_escrow",
    summary="Propose a draft to the other party",
    description="The fee is computed anew. Proposing is agreeing to your own terms.",
)
@changes_a_version
@once(moves_money=False)
def propose_escrow(request: HttpRequest, id: UUID, proposal: Proposal) -> Answer:  # noqa: A002
    escrow = escrows.propose_draft(
        actor=person_of(request),
        public_id=id,
        other_email=proposal.other_email,
        if_version=wanted_version(request),
    )
    return answer(request, escrow)


@router.post(
    "/{uuid:id}/counter",
    response=EscrowShown,
    operation_id="counter_escrow",
    summary="Propose other terms",
    description="Replaces the proposed terms; the other party has to agree to these.",
)
@changes_a_version
@once(moves_money=False)
def counter_escrow(request: HttpRequest, id: UUID, wanted: TermsWanted) -> Answer:  # noqa: A002
    return new_terms(request, id, wanted, escrows.counter_propose)


@router.post(
    "/{uuid:id}/agree",
    response=EscrowShown,
    operation_id="agree_to_escrow",
    summary="Agree to the current terms",
    description="The escrow then has its milestones, and waits for the buyer's money.",
)
@changes_a_version
@once(moves_money=False)
def agree_to_escrow(request: HttpRequest, id: UUID, agreement: Agreement) -> Answer:  # noqa: A002
    escrow = escrows.agree(
        actor=person_of(request),
        public_id=id,
        terms_hash=agreement.terms_hash,
        if_version=wanted_version(request),
    )
    return answer(request, escrow)


@router.post(
    "/{uuid:id}/cancel",
    response=EscrowShown,
    operation_id="cancel_escrow",
    summary="Cancel, or agree to cancel",
    description="Before it is funded, either party ends it. After that both have to: the first asks, the "
    "other ends it, and what was not released goes back to the buyer.",
)
@changes_a_version
@once(moves_money=True)
def cancel_escrow(request: HttpRequest, id: UUID, cancellation: Cancellation) -> Answer:  # noqa: A002
    escrow = escrows.cancel(
        actor=person_of(request),
        public_id=id,
        reason=cancellation.reason,
        if_version=wanted_version(request),
    )
    return answer(request, escrow)


@router.post(
    "/{uuid:id}/keep",
    response=EscrowShown,
    operation_id="keep_escrow",
    summary="Decline to cancel, or take one's own request back",
)
@changes_a_version
@once(moves_money=False)
def keep_escrow(request: HttpRequest, id: UUID) -> Answer:  # noqa: A002
    escrow = escrows.keep(actor=person_of(request), public_id=id, if_version=wanted_version(request))
    return answer(request, escrow)
