"""Serves invitations: sends one again to another address, and accepts one with the token of its mail."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.http import HttpRequest
from ninja import Router
from pydantic import Field

from accounts.api import person_of
from core.api.once import Answer
from escrow import escrows
from escrow.api.escrows import OtherEmail
from escrow.api.keys import once
from escrow.api.schemas import Strict
from escrow.api.shown import EscrowShown, escrow_shown

of_escrow = Router()
router = Router()


class InvitationWanted(Strict):
    other_email: OtherEmail


class InvitationShown(Strict):
    escrow: UUID
    expires_at: datetime


class Acceptance(Strict):
    token: str = Field(min_length=20, max_length=100, description="The end of the link in the mail.")


@of_escrow.post(
    "/{uuid:id}/invitations",
    response={201: InvitationShown},
    operation_id="invite_to_escrow",
    summary="Invite another address to your proposal",
    description="Withdraws the invitation before it.",
)
@once(moves_money=False)
def invite(request: HttpRequest, id: UUID, wanted: InvitationWanted) -> Answer:  # noqa: A002  (the path's name)
    invitation = escrows.invite_again(actor=person_of(request), public_id=id, other_email=wanted.other_email)
    return Answer(201, InvitationShown(escrow=id, expires_at=invitation.expires_at))


@router.post(
    "/accept",
    response=EscrowShown,
    operation_id="accept_invitation",
    summary="Become the other party of an escrow",
    description="For an account that has verified the address which was invited. You agree to nothing yet.",
)
@once(moves_money=False)
def accept(request: HttpRequest, acceptance: Acceptance) -> Answer:
    escrow = escrows.accept_invitation(user=person_of(request), token=acceptance.token)
    return Answer(200, escrow_shown(escrow, person_of(request)), version=escrow.version)
