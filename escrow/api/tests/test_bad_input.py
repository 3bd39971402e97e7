"""What the API refuses, input by input: a 4xx with a code that stays and the field, and nothing half done.

Texts, amounts and fees in all their variants: escrow/escrows/tests/test_terms.py. Webhooks that are replayed
or forged: escrow/payments/tests/test_payment_webhooks.py.
"""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from accounts.models import User
from escrow import escrows
from escrow.api.tests.app import App
from escrow.api.tests.test_escrows import at, everything, first, ngn, terms, wanted
from escrow.errors import NotAllowed, WrongParty
from escrow.escrows.tests.deals import Deal, books, draft, make_party, proposed, submitted
from escrow.escrows.tests.test_invitations import invited, signed_up, token_in
from escrow.models import Escrow, Invitation

pytestmark = pytest.mark.django_db

HUGE = 10**15


def part(amount: Any) -> dict[str, Any]:
    return {"milestones": [{"title": "Design", "amount": amount}]}


# (what a draft says instead, code, field)
DRAFTS: tuple[tuple[dict[str, Any], str, str], ...] = (
    (part(ngn(-1)), "invalid_input", "milestones.0.amount.amount_minor"),
    (part(ngn(0)), "invalid_input", "milestones.0.amount.amount_minor"),
    (part({"amount_minor": 1.5, "currency": "NGN"}), "invalid_input", "milestones.0.amount.amount_minor"),
    (part(ngn(HUGE)), "invalid_input", "milestones.0.amount.amount_minor"),
    ({"milestones": [{"title": "a", "amount": ngn(HUGE // 2)}] * 2}, "wrong_amount", "milestones"),
    (part(ngn(5_000_000, "USD")), "wrong_currency", "milestones.0.amount.currency"),
    ({"currency": "XXX", **part(ngn(5_000_000, "XXX"))}, "wrong_currency", "currency"),
    ({"currency": "naira"}, "invalid_input", "currency"),
    (part(ngn(10_000)), "amount_below_fee", "milestones"),
    ({"title": "\u0420ayPal"}, "wrong_text", "title"),  # a Cyrillic er
    ({"title": "a\u202eb"}, "wrong_text", "title"),
    ({"terms": "a\x07b"}, "wrong_text", "terms"),
    ({"milestones": [{"title": "\uff21mani", "amount": ngn(5_000_000)}]}, "wrong_text", "milestones.0.title"),
)


def test_a_draft_is_refused_with_its_code_and_its_field() -> None:
    app = App(make_party())
    before = everything()
    for changes, code, field in DRAFTS:
        refused = app.post("/escrows", wanted(**changes), 422)
        assert (refused["code"], list(refused["fields"])) == (code, [field]), changes
    assert everything() == before


def test_other_terms_are_refused_as_a_draft_is() -> None:
    deal = proposed()
    app, version = App(deal.seller), deal.escrow.version
    before = everything()
    for changes, code, field in DRAFTS:
        if "currency" not in changes:
            refused = app.post(f"{at(deal)}/counter", terms(**changes), 422, version=version)
            assert (refused["code"], list(refused["fields"])) == (code, [field]), changes
    assert everything() == before


def test_a_part_that_is_no_part_is_refused_with_its_code_and_its_field() -> None:
    deal = submitted()
    app, version = App(deal.buyer), deal.first.version
    before = (everything(), books(deal))
    for amount, code, field in (
        (ngn(-1), "invalid_input", "amount.amount_minor"),
        (ngn(0), "invalid_input", "amount.amount_minor"),
        ({"amount_minor": 1.5, "currency": "NGN"}, "invalid_input", "amount.amount_minor"),
        (ngn(HUGE), "invalid_input", "amount.amount_minor"),
        (ngn(HUGE // 2), "wrong_amount", "amount.amount_minor"),
        (ngn(5, "USD"), "wrong_currency", "amount.currency"),
    ):
        refused = app.post(f"{first(deal)}/release", {"amount": amount}, 422, version=version)
        assert (refused["code"], list(refused["fields"])) == (code, [field]), amount
    assert (everything(), books(deal)) == before


def test_ones_own_address_and_what_is_no_address_are_no_other_party() -> None:
    person = make_party()
    drafted = escrows.save_draft(creator=person, role="buyer", currency="NGN", draft=draft())
    deal = Deal(drafted, person, person)
    before = (everything(), Invitation.objects.count())
    for address, code in ((person.email.upper(), "same_party"), ("no address", "wrong_party")):
        for way in ("propose", "invitations"):
            body, version = {"other_email": address}, drafted.version
            refused = App(person).post(f"{at(deal)}/{way}", body, 422, version=version)
            assert (refused["code"], list(refused["fields"])) == (code, ["other_email"]), way
    assert (everything(), Invitation.objects.count()) == before


def test_an_erased_person_is_no_party_and_an_expired_invitation_joins_nothing(mailoutbox: list[Any]) -> None:
    escrow, person = invited(), signed_up()
    token = token_in(mailoutbox)
    before = everything()
    later = timezone.now()
    Invitation.objects.filter(escrow=escrow).delete()
    Invitation.objects.create(
        escrow=escrow,
        invited_by=escrow.creator,
        email=person.email,
        token_hash=escrows.invitations.hash_of(token),
        expires_at=later,
    )
    assert App(person).post("/invitations/accept", {"token": token}, 409)["code"] == "invitation_expired"
    User.objects.filter(pk=person.pk).update(erased_at=later, is_active=False)
    with pytest.raises(NotAllowed):
        escrows.accept_invitation(user=person, token=token)
    with pytest.raises(WrongParty) as refusal:
        escrows.propose(
            creator=escrow.creator, role="buyer", currency="NGN", draft=draft(), other_id=person.pk
        )
    assert (refusal.value.code, list(refusal.value.fields)) == ("wrong_party", ["other_id"])
    assert everything() == before
    assert Escrow.objects.get().seller_id is None
