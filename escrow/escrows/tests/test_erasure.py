"""Tests the export and the erasure of an account that is or was a party of escrows."""

from __future__ import annotations

import pytest

from accounts.erasure import erase_account
from accounts.errors import CannotErase
from accounts.export import export_account
from escrow import escrows
from escrow.errors import NotAllowed
from escrow.escrows.tests.deals import agreed, draft, drafted, escrow_in, funded, make_party
from escrow.models import Escrow, EscrowEventText, Invitation
from escrow.states import State

pytestmark = pytest.mark.django_db


def test_the_export_has_the_persons_escrows_and_balances_and_no_other_party() -> None:
    deal = escrow_in(State.CLOSED_MIXED)
    part = export_account(deal.seller)["parts"]["escrow"]
    assert [(row["id"], row["role"], row["state"]) for row in part["escrows"]] == [
        (str(deal.escrow.public_id), "seller", "closed_mixed")
    ]
    assert part["balances"] == [{"kind": "seller_payable", "currency": "NGN", "amount_minor": 6_000_000}]
    assert deal.buyer.email not in str(part)


def test_a_party_of_an_open_escrow_stays() -> None:
    for deal in (agreed(), funded()):
        for person in (deal.buyer, deal.seller):
            with pytest.raises(CannotErase, match="has not ended"):
                erase_account(user_id=person.pk)


def test_an_account_stays_while_amani_holds_money_of_it() -> None:
    deal = escrow_in(State.CLOSED_MIXED)
    for person in (deal.buyer, deal.seller):
        with pytest.raises(CannotErase, match="Amani holds money of yours"):
            erase_account(user_id=person.pk)


def test_erasing_ends_drafts_and_deletes_what_the_person_wrote() -> None:
    deal, other = drafted(), agreed()
    escrows.cancel(actor=other.buyer, public_id=other.escrow.public_id, reason="Too expensive.")
    invited = escrows.propose(
        creator=other.buyer, role="buyer", currency="NGN", draft=draft(), other_email="a@example.com"
    )
    escrows.cancel(actor=other.buyer, public_id=invited.public_id)
    assert EscrowEventText.objects.count() == 1
    erase_account(user_id=other.buyer.pk)
    assert (EscrowEventText.objects.count(), Invitation.objects.get().email) == (0, "")
    erase_account(user_id=deal.buyer.pk)
    assert Escrow.objects.get(pk=deal.escrow.pk).state == State.CANCELLED


def test_an_erased_account_makes_no_escrow() -> None:
    person = make_party()
    erase_account(user_id=person.pk)
    with pytest.raises(NotAllowed):
        escrows.save_draft(creator=person, role="buyer", currency="NGN", draft=draft())
    assert not Escrow.objects.exists()
