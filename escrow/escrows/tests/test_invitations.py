"""Tests invitations: mailed to any address, accepted by the account that verified it, once and in time."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.core.mail import EmailMessage
from django.utils import timezone

from accounts.models import User
from escrow import escrows
from escrow.errors import (
    InvitationExpired,
    InvitationForAnother,
    InvitationNotFound,
    InvitationUsed,
    NotAllowed,
    SameParty,
    StepRefused,
    TooManyInvitations,
)
from escrow.escrows.tests.deals import draft, drafted, make_party, proposed
from escrow.models import Escrow, Invitation
from escrow.states import State
from kyc.tests.people import make_person

pytestmark = pytest.mark.django_db

Outbox = list[EmailMessage]


def invited(email: str = "ngozi@example.com", creator: User | None = None) -> Escrow:
    creator = creator or make_party()
    return escrows.propose(creator=creator, role="buyer", currency="NGN", draft=draft(), other_email=email)


def token_in(mailoutbox: Outbox) -> str:
    found = re.search(r"/invitations/(\S+)", str(mailoutbox[-1].body))
    assert found is not None
    return found[1]


def signed_up(email: str = "ngozi@example.com", *, verified: bool = True) -> User:
    person = User.objects.create_user(email)
    EmailAddress.objects.create(user=person, email=person.email, verified=verified, primary=True)
    return person


def test_an_address_without_an_account_is_invited_and_its_account_joins_after_sign_up(
    mailoutbox: Outbox,
) -> None:
    escrow = invited(" Ngozi@Example.com ")
    assert mailoutbox[-1].to == ["ngozi@example.com"]
    assert "A website" not in str(mailoutbox[-1].body)  # nothing that the sender wrote
    assert (escrow.state, escrow.seller_id) == (State.PROPOSED, None)
    seller = signed_up()
    joined = escrows.accept_invitation(user=seller, token=token_in(mailoutbox))
    assert (joined.state, joined.seller_id) == (State.PROPOSED, seller.pk)
    assert [event.event for event in joined.events.all()] == ["propose", "join"]
    assert joined.terms is not None
    done = escrows.agree(actor=seller, public_id=joined.public_id, terms_hash=joined.terms.hash)
    assert done.state == State.AWAITING_FUNDS
    invitation = Invitation.objects.get()
    assert (invitation.state, invitation.email, invitation.accepted_by) == ("accepted", "", seller)


def test_only_the_mail_has_the_token(mailoutbox: Outbox) -> None:
    invited()
    assert token_in(mailoutbox) not in str(Invitation.objects.values().get())


def test_an_account_is_invited_like_a_stranger(mailoutbox: Outbox) -> None:
    known = make_party()
    for email in (known.email, "nobody-yet@example.com"):
        escrow = invited(email)
        assert (escrow.seller_id, mailoutbox[-1].to) == (None, [email])


def test_a_token_that_does_not_exist_is_not_found(mailoutbox: Outbox) -> None:
    invited()
    for token in ("", "x", token_in(mailoutbox)[:-1], token_in(mailoutbox) + "x"):
        with pytest.raises(InvitationNotFound):
            escrows.accept_invitation(user=signed_up(f"{len(token)}@example.com"), token=token)


@pytest.mark.parametrize(("email", "verified"), [("eve@example.com", True), ("ngozi@example.com", False)])
def test_an_account_without_the_verified_address_is_refused(
    mailoutbox: Outbox, email: str, verified: bool
) -> None:
    escrow = invited()
    with pytest.raises(InvitationForAnother):
        escrows.accept_invitation(user=signed_up(email, verified=verified), token=token_in(mailoutbox))
    escrow.refresh_from_db()
    assert (escrow.seller_id, Invitation.objects.get().state) == (None, "open")


def test_an_invitation_is_used_once(mailoutbox: Outbox) -> None:
    invited()
    seller, token = signed_up(), token_in(mailoutbox)
    escrows.accept_invitation(user=seller, token=token)
    for person in (seller, make_person()):
        with pytest.raises(InvitationUsed):
            escrows.accept_invitation(user=person, token=token)


@pytest.mark.parametrize("how", ["time", "cancelled", "another"])
def test_an_invitation_ends(mailoutbox: Outbox, how: str) -> None:
    creator = make_party()
    escrow = invited(creator=creator)
    token = token_in(mailoutbox)
    if how == "time":
        past = timezone.now() - timedelta(days=8)
        Invitation.objects.all().delete()
        Invitation.objects.create(
            escrow=escrow,
            invited_by=creator,
            email="ngozi@example.com",
            token_hash=escrows.invitations.hash_of(token),
            created_at=past,
            expires_at=past + timedelta(days=7),
        )
    elif how == "cancelled":
        escrows.cancel(actor=creator, public_id=escrow.public_id)
        assert Invitation.objects.get().email == ""
    else:
        escrows.invite_again(actor=creator, public_id=escrow.public_id, other_email="other@example.com")
    with pytest.raises(InvitationExpired):
        escrows.accept_invitation(user=signed_up(), token=token)
    escrow.refresh_from_db()
    assert escrow.seller_id is None


def test_the_sender_does_not_accept_with_another_address(mailoutbox: Outbox) -> None:
    creator = make_party()
    invited("second@example.com", creator=creator)
    EmailAddress.objects.create(user=creator, email="second@example.com", verified=True)
    with pytest.raises(SameParty):
        escrows.accept_invitation(user=creator, token=token_in(mailoutbox))


def test_a_closed_account_does_not_accept(mailoutbox: Outbox) -> None:
    invited()
    seller = signed_up()
    User.objects.filter(pk=seller.pk).update(is_active=False)
    with pytest.raises(NotAllowed):
        escrows.accept_invitation(user=seller, token=token_in(mailoutbox))


def test_only_a_proposal_without_its_other_party_invites(mailoutbox: Outbox) -> None:
    for deal in (drafted(), proposed()):
        with pytest.raises(StepRefused):
            escrows.invite_again(
                actor=deal.buyer, public_id=deal.escrow.public_id, other_email="a@example.com"
            )
    assert mailoutbox == []


def test_an_account_does_not_invite_without_end(mailoutbox: Outbox, settings: Any) -> None:
    settings.ESCROW_INVITATIONS_PER_DAY = 2
    creator = make_party()
    for number in range(2):
        invited(f"{number}@example.com", creator=creator)
    with pytest.raises(TooManyInvitations):
        invited("3@example.com", creator=creator)
    assert (Escrow.objects.count(), len(mailoutbox)) == (2, 2)
