"""/api/v1/payouts: money is held and sent once for each key, whatever happens in between."""

from __future__ import annotations

from datetime import timedelta
from itertools import permutations
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from core.registry import Registry
from escrow.api.keys import forget_old
from escrow.api.tests.app import API, App
from escrow.ledger.tests.books import books
from escrow.models import IdempotencyKey, Payout
from escrow.payments import registry
from escrow.payments.tests.fake import FakeProvider
from escrow.payments.tests.money import money_of, rich, run
from kyc.limits.tests.amounts import CURRENCY

pytestmark = pytest.mark.django_db

ACCOUNT = {"bank_code": "058", "account_number": "0123456789", "account_name": "Ada Obi"}


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, settings: Any) -> FakeProvider:
    provider = FakeProvider()
    settings.PAYMENT_PROVIDER = provider.name
    monkeypatch.setattr(registry, "PROVIDERS", Registry("payment provider", (provider,)))
    return provider


@pytest.fixture
def app(fake: FakeProvider) -> App:
    return App(rich(10_000))


def wanted(amount_minor: Any = 4_000, currency: str = CURRENCY, **changes: Any) -> dict[str, Any]:
    amount = {"amount_minor": amount_minor, "currency": currency}
    return {"amount": amount, "destination": ACCOUNT, **changes}


def everything() -> tuple[Any, ...]:
    return books(), Payout.objects.count(), IdempotencyKey.objects.count()


def test_a_payout_is_held_sent_and_shown(app: App, fake: FakeProvider) -> None:
    created = app.send("/payouts", wanted())
    shown = created.json()
    assert (created.status_code, created["Location"]) == (201, f"{API}/payouts/{shown['id']}")
    assert (shown["state"], shown["destination_last"], created["ETag"]) == ("requested", "6789", '"0"')
    assert "0123456789" not in created.content.decode()
    assert app.get("/balances")["items"][0]["in_transit"]["amount_minor"] == 4_000
    assert app.get(f"/payouts/{shown['id']}") == shown
    run()
    assert app.get(f"/payouts/{shown['id']}")["state"] == "sent"
    assert list(fake.paid.values()) == [1]


def test_the_same_key_pays_once_and_answers_the_same(app: App) -> None:
    key = str(uuid4())
    first = app.send("/payouts", wanted(), key=key)
    before = everything()
    again = app.send("/payouts", wanted(), key=key)
    assert (again.status_code, again.content, again["Location"]) == (201, first.content, first["Location"])
    other = app.send("/payouts", wanted(4_001), key=key)
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_key_reused")
    assert everything() == before


STEPS = ("work", "repeat", "forget")


@pytest.mark.parametrize("steps", list(permutations(STEPS)), ids="-".join)
def test_a_key_whose_payout_was_refused_moves_nothing_for_ever(
    app: App, fake: FakeProvider, steps: tuple[str, ...]
) -> None:
    """Debit, definite refusal, refund, the key once more, its answer forgotten: in every order."""
    key = str(uuid4())
    fake.paying.append("refused")
    assert app.send("/payouts", wanted(), key=key).status_code == 201
    for step in (*steps, "repeat"):
        if step == "work":
            run()
        elif step == "forget":
            old = timezone.now() - timedelta(days=9)
            IdempotencyKey.objects.update(created_at=old, expires_at=old + timedelta(days=1))
            forget_old()
        else:
            assert app.send("/payouts", wanted(), key=key).status_code in (201, 409)
        assert sum(fake.paid.values()) == 0
        assert Payout.objects.count() == 1
    assert money_of(app.person)[:2] == (10_000, 0)
    refused = app.send("/payouts", wanted(), key=key)
    assert refused.status_code == 409
    assert refused.json()["code"] in ("payout_key_used", "idempotency_key_spent")
    assert app.send("/payouts", wanted()).status_code == 201


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (wanted(0), 422, "amount.amount_minor"),
        (wanted(1.5), 422, "amount.amount_minor"),
        (wanted("5"), 422, "amount.amount_minor"),
        (wanted(10**15), 422, "amount.amount_minor"),
        (wanted(currency="naira"), 422, "amount.currency"),
        (wanted(currency="QQQ"), 422, "amount"),
        (wanted(10_001), 409, None),
        (wanted(source="suspense"), 422, "source"),
        (wanted(source="refundable"), 409, None),
        (wanted(destination={**ACCOUNT, "bank_code": "--"}), 422, "destination.bank_code"),
        (wanted(destination={**ACCOUNT, "account_number": "12"}), 422, "destination.account_number"),
        (wanted(destination={**ACCOUNT, "account_number": "=1+1+1"}), 422, "destination.account_number"),
        (wanted(destination={**ACCOUNT, "account_name": "a\u202eb"}), 422, "destination.account_name"),
        (wanted(destination={}), 422, "destination.bank_code"),
        (wanted(provider="paystack"), 422, "provider"),
    ],
)
def test_what_is_refused_holds_nothing(app: App, body: Any, status: int, field: str | None) -> None:
    before = everything()
    refused = app.post("/payouts", body, status)
    assert field is None or field in refused["fields"]
    assert everything() == before


def test_another_persons_payout_does_not_exist(app: App) -> None:
    other = App(rich())
    theirs = other.post("/payouts", wanted(), 201)
    assert app.get(f"/payouts/{theirs['id']}", 404)["code"] == "payout_not_found"
    assert app.get("/payouts") == {"items": [], "next": None}


def test_payouts_are_filtered_and_come_in_pages(app: App) -> None:
    ids = [app.post("/payouts", wanted(amount), 201)["id"] for amount in (1, 2, 3)]
    first = app.get("/payouts", limit=2)
    rest = app.get("/payouts", limit=2, cursor=first["next"])
    assert [one["id"] for one in (*first["items"], *rest["items"])] == ids[::-1]
    assert rest["next"] is None
    query: dict[str, Any]
    for query, count in (
        ({"state": "requested"}, 3),
        ({"state": "settled"}, 0),
        ({"currency": "USD"}, 0),
        ({"created_from": "2026-01-01T00:00:00Z"}, 3),
        ({"created_to": "2026-01-01T00:00:00Z"}, 0),
    ):
        assert len(app.get("/payouts", 200, **query)["items"]) == count


def test_many_payouts_cost_as_many_queries_as_one(app: App) -> None:
    counts = []
    for _ in range(2):
        app.post("/payouts", wanted(1), 201)
        app.post("/payouts", wanted(1), 201)
        with CaptureQueriesContext(connection) as queries:
            app.get("/payouts")
        counts.append(len(queries))
    assert counts[0] == counts[1]
