"""/api/v1/escrows/…/fund: where the buyer pays, and what is refused."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from core.registry import Registry
from escrow import escrows
from escrow.api.tests.app import API, App
from escrow.escrows.tests.deals import Deal, agreed, drafted, pay
from escrow.ledger.tests.books import books
from escrow.models import Collection, IdempotencyKey
from escrow.payments import collecting, registry
from escrow.payments.tests.fake import FakeProvider

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def fake(monkeypatch: pytest.MonkeyPatch, settings: Any) -> FakeProvider:
    provider = FakeProvider()
    settings.PAYMENT_PROVIDER = provider.name
    monkeypatch.setattr(registry, "PROVIDERS", Registry("payment provider", (provider,)))
    return provider


@pytest.fixture
def deal() -> Deal:
    return agreed(600_000)


def at(deal: Deal) -> str:
    return f"/escrows/{deal.escrow.public_id}"


def ngn(amount_minor: Any, currency: str = "NGN") -> dict[str, Any]:
    return {"amount_minor": amount_minor, "currency": currency}


def everything() -> tuple[Any, ...]:
    return books(), Collection.objects.count(), IdempotencyKey.objects.count()


def test_a_short_escrow_says_how_much_is_missing_and_takes_that(deal: Deal) -> None:
    app, escrow = App(deal.buyer), deal.escrow
    pay(escrow, escrow.due_minor, "r")
    assert app.get(at(deal))["short"] == ngn(0)
    escrows.money_taken_back(
        escrow_id=escrow.pk,
        collection_id=escrow.pk,
        amount_minor=escrow.due_minor,
        provider="sandbox",
        receipt="r",
    )
    shown = app.get(at(deal))
    assert (shown["short"], shown["frozen"], shown["state"]) == (ngn(escrow.due_minor), True, "funded")
    more = app.post(f"{at(deal)}/fund", {"amount": ngn(escrow.due_minor + 1)}, 422)
    assert more["code"] == "wrong_amount"
    assert app.post(f"{at(deal)}/fund", {}, 201)["amount"] == ngn(escrow.due_minor)


def test_a_payment_is_begun_once_and_says_where_to_pay(deal: Deal) -> None:
    app = App(deal.buyer)
    key = str(uuid4())
    begun = app.send(f"{at(deal)}/fund", {}, key=key)
    shown = begun.json()
    assert (begun.status_code, shown["state"], shown["checkout_url"]) == (201, "started", None)
    assert (shown["amount"], shown["received"]) == (ngn(deal.escrow.due_minor), ngn(0))
    assert begun["Location"] == f"{API}{at(deal)}/collections/{shown['id']}"
    assert app.send(f"{at(deal)}/fund", {}, key=key).content == begun.content
    assert app.post(f"{at(deal)}/fund", {}, 201) == shown  # while it is open there is no other
    collecting.run_collections()
    opened = app.get(f"{at(deal)}/collections/{shown['id']}")
    assert (opened["state"], opened["checkout_url"][:20]) == ("open", "https://pay.example/")
    assert Collection.objects.count() == 1


def test_a_part_can_be_paid(deal: Deal) -> None:
    shown = App(deal.buyer).post(f"{at(deal)}/fund", {"amount": ngn(100)}, 201)
    assert shown["amount"] == ngn(100)


@pytest.mark.parametrize(
    ("amount", "field"),
    [
        (ngn(0), "amount.amount_minor"),
        (ngn(1.5), "amount.amount_minor"),
        (ngn(5, "USD"), "amount.currency"),
        (ngn(10**12), "amount"),
        (5, "amount"),
    ],
)
def test_a_wrong_amount_begins_nothing(deal: Deal, amount: Any, field: str) -> None:
    before = everything()
    refused = App(deal.buyer).post(f"{at(deal)}/fund", {"amount": amount}, 422)
    assert list(refused["fields"]) == [field]
    assert everything() == before


def test_only_the_buyer_pays_and_only_when_money_is_awaited(deal: Deal) -> None:
    draft = drafted(600_000)
    shown = App(deal.buyer).post(f"{at(deal)}/fund", {}, 201)
    before = everything()
    for person, path, status, code in (
        (deal.seller, f"{at(deal)}/fund", 404, "escrow_not_found"),
        (draft.buyer, f"{at(deal)}/fund", 404, "escrow_not_found"),
        (draft.buyer, f"{at(draft)}/fund", 409, "not_awaiting_funds"),
    ):
        assert App(person).post(path, {}, status)["code"] == code
    for person, where in ((deal.seller, deal), (draft.buyer, draft)):
        found = App(person).get(f"{at(where)}/collections/{shown['id']}", 404)
        assert found["code"] == "collection_not_found"
    assert everything() == before
