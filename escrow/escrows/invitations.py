"""Invites the other party by e-mail, and binds the account that accepts.

An address is always invited, whether it has an account or not, so that a proposal does not tell which. The
mail has a token, of which Amani keeps only the hash. It is accepted by an account that has verified the
address.
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta
from typing import Any
from uuid import UUID

from allauth.account.models import EmailAddress
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.mail import EmailMessage
from django.core.validators import validate_email
from django.db import transaction
from django.template.loader import render_to_string
from django.utils import timezone

from accounts.addresses import has_verified
from accounts.mail.about import About
from accounts.models import User
from core.states import By
from escrow.errors import (
    Expired,
    InvitationExpired,
    InvitationForAnother,
    InvitationNotFound,
    InvitationUsed,
    SameParty,
    StepRefused,
    TooManyInvitations,
    WrongParty,
)
from escrow.escrows.constraints import constraints_named
from escrow.escrows.transitions import change, lock, lock_for_party, lock_people
from escrow.models import Escrow, Invitation
from escrow.states import Event, State, Who

TOKEN_BYTES = 32
MAIL = "escrow_invitation"
SECONDS_OF_A_DAY = 24 * 60 * 60


# --- Inviting ---


def refuse_address(sender: User, email: str) -> None:
    """Raises WrongParty for what is no address, SameParty for one of the sender's."""
    try:
        validate_email(email.strip())
    except ValidationError:
        raise WrongParty("Write the e-mail address of the other party.", "other_email") from None
    if EmailAddress.objects.filter(user=sender, email__iexact=email.strip()).exists() or (
        sender.email == email.strip().lower()
    ):
        raise SameParty("other_email")


def invite(escrow: Escrow, sender: User, email: str) -> Invitation:
    """Stores the invitation and its mail, in the caller's transaction, which locked the sender."""
    refuse_too_many(sender)
    token = secrets.token_urlsafe(TOKEN_BYTES)
    lasts = timedelta(days=settings.ESCROW_INVITATION_DAYS)
    invitation = Invitation.objects.create(
        escrow=escrow,
        invited_by=sender,
        email=email.strip().lower(),
        token_hash=hash_of(token),
        expires_at=timezone.now() + lasts,
    )
    send(invitation, sender, token, int(lasts.total_seconds()))
    return invitation


def invite_again(*, actor: User, public_id: UUID, other_email: str) -> Invitation:
    """Withdraws the open invitation of a proposal, and invites this address."""
    refuse_address(actor, other_email)
    with constraints_named(), transaction.atomic():
        lock_people(actor.pk)
        escrow = lock_for_party(actor, public_id).escrow
        if escrow.state != State.PROPOSED or is_complete(escrow):
            raise StepRefused("escrow", escrow.state, "invite", "It needs no other party.")
        close_all(escrow)
        return invite(escrow, actor, other_email)


def refuse_too_many(sender: User) -> None:
    """Raises TooManyInvitations, so that no account sends mails to many strangers."""
    since = timezone.now() - timedelta(seconds=SECONDS_OF_A_DAY)
    sent = Invitation.objects.filter(invited_by=sender, created_at__gt=since).count()
    if sent >= settings.ESCROW_INVITATIONS_PER_DAY:
        raise TooManyInvitations


def send(invitation: Invitation, sender: User, token: str, lifetime_seconds: int) -> None:
    """Sends the mail. It has no text of the sender's but the address, because a stranger reads it."""
    text = render_to_string(
        "escrow/invitation.txt",
        {
            "sender": sender.email,
            "link": f"{settings.FRONTEND_URL}/invitations/{token}",
            "expires_at": invitation.expires_at,
        },
    )
    message = EmailMessage("An escrow is proposed to you", text, to=[invitation.email])
    message.about = About(MAIL, lifetime_seconds)  # type: ignore[attr-defined]  # see accounts/mail/about.py
    message.send()


def hash_of(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def close_all(escrow: Escrow) -> None:
    """Ends the open invitation, if there is one, and forgets its address."""
    for invitation in Invitation.objects.filter(escrow=escrow, state=Invitation.State.OPEN):
        invitation.state = Invitation.State.OVER
        invitation.email = ""
        invitation.save(update_fields=["state", "email"])


# --- Accepting ---


def accept_invitation(*, user: User, token: str) -> Escrow:
    """Makes the user the other party and returns the escrow; they have agreed to nothing yet.

    Raises InvitationNotFound, InvitationUsed, InvitationExpired, InvitationForAnother or SameParty.
    """
    found = Invitation.objects.filter(token_hash=hash_of(token)).only("pk", "escrow_id").first()
    if found is None:
        raise InvitationNotFound
    with constraints_named(), transaction.atomic():
        lock_people(user.pk)
        escrow = lock(found.escrow_id).escrow
        invitation = Invitation.objects.select_for_update(no_key=True).get(pk=found.pk)
        refuse_unusable(invitation, escrow, user)
        join(escrow, user)
        invitation.state = Invitation.State.ACCEPTED
        invitation.email = ""
        invitation.accepted_at = timezone.now()
        invitation.accepted_by = user
        invitation.save(update_fields=["state", "email", "accepted_at", "accepted_by"])
        return escrow


def refuse_unusable(invitation: Invitation, escrow: Escrow, user: User) -> None:
    if invitation.state == Invitation.State.ACCEPTED:
        raise InvitationUsed
    now = timezone.now()
    if invitation.state == Invitation.State.OVER or invitation.expires_at <= now:
        raise InvitationExpired
    if not has_verified(user=user, email=invitation.email):
        raise InvitationForAnother
    if escrow.state != State.PROPOSED or is_complete(escrow):
        raise InvitationExpired
    if escrow.expires_at is not None and escrow.expires_at <= now:
        raise Expired(escrow.expires_at)
    if user.pk in (escrow.buyer_id, escrow.seller_id):
        raise SameParty("token")


def join(escrow: Escrow, user: User) -> None:
    party: dict[str, Any] = {"buyer" if escrow.buyer_id is None else "seller": user}
    change(escrow, Event.JOIN, By(Who.ANSWERER, user.pk), **party)


def is_complete(escrow: Escrow) -> bool:
    return escrow.buyer_id is not None and escrow.seller_id is not None
