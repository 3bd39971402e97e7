"""Tests the sandbox provider against the bank of `make run`, over real HTTP."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from core.outcomes import Rejected, RetryLater
from escrow.payments import registry
from escrow.payments.base import (
    Callback,
    Checkout,
    CollectionSeen,
    CollectionStatus,
    Malformed,
    NotFound,
    PayoutSeen,
    PayoutStatus,
    Provider,
    Unknown,
)
from escrow.payments.sandbox.format import SIGNATURE, signature_of
from escrow.payments.sandbox.provider import Sandbox
from escrow.payments.tests.conftest import SANDBOX_KEY
from escrow.payments.tests.test_paystack import collection, payout
from local.bank.book import COLLECTION, PAYOUT, Entry
from local.bank.server import Bank

provider = Sandbox()


def entry(bank: Bank, kind: str, reference: str) -> Entry:
    found = bank.book.find(kind, reference)
    assert found is not None
    return found


def test_a_collection_is_paid_on_the_page_that_the_buyer_gets(bank: Bank) -> None:
    checkout = provider.collect(collection())
    assert isinstance(checkout, Checkout)
    assert checkout.url == f"http://localhost:{bank.server_port}/pay/c-1"
    assert provider.collect(collection()) == checkout
    known = entry(bank, COLLECTION, "c-1")
    asked = provider.ask_collection("c-1")
    assert asked == CollectionSeen(CollectionStatus.OPEN, "c-1", 0, "NGN", known.id, "open")
    bank.book.act(known, "pay", amount_minor=149_999, currency="GHS")
    assert provider.ask_collection("c-1") == CollectionSeen(
        CollectionStatus.RECEIVED, "c-1", 149_999, "GHS", known.id, "received"
    )


@pytest.mark.parametrize(
    ("action", "status"),
    [
        ("confirm", PayoutStatus.SETTLED),
        ("fail", PayoutStatus.FAILED),
        ("reverse", PayoutStatus.REVERSED),
    ],
)
def test_a_payout_ends_as_a_person_chooses(bank: Bank, action: str, status: PayoutStatus) -> None:
    first = provider.pay(payout())
    known = entry(bank, PAYOUT, "p-1")
    assert first == PayoutSeen(PayoutStatus.SENT, "p-1", 90_000, "NGN", known.id, "sent")
    bank.book.act(known, action)
    asked = provider.ask_payout("p-1")
    assert asked == PayoutSeen(status, "p-1", 90_000, "NGN", known.id, status.value)


@pytest.mark.parametrize("fault", ["empty", "hang", "reset", "error"])
def test_a_payout_without_an_answer_is_unknown_and_happened(bank: Bank, impatient: None, fault: str) -> None:
    bank.fault = fault
    assert isinstance(provider.pay(payout()), Unknown)
    asked = provider.ask_payout("p-1")
    assert isinstance(asked, PayoutSeen)
    assert asked.status == PayoutStatus.SENT
    assert isinstance(provider.pay(payout()), PayoutSeen)
    assert len(bank.book.entries) == 1


def test_a_payout_that_is_lost_or_refused_did_not_happen(bank: Bank) -> None:
    bank.fault = "lost"
    assert isinstance(provider.pay(payout()), Unknown)
    assert provider.ask_payout("p-1") == NotFound("Sandbox bank does not know this reference.")
    bank.fault = "refuse"
    assert provider.pay(payout()) == Rejected("Sandbox bank answered 422.")
    assert bank.book.entries == {}


def test_another_content_with_one_reference_is_refused(bank: Bank) -> None:
    provider.pay(payout())
    assert isinstance(provider.pay(payout(amount_minor=1)), Rejected)
    assert [each.amount_minor for each in bank.book.newest_first()] == [90_000]


def test_a_wrong_key_moves_nothing(bank: Bank, settings: Any) -> None:
    settings.PAYMENT_SANDBOX_KEY = "another"
    assert isinstance(provider.pay(payout()), RetryLater)
    assert isinstance(provider.collect(collection()), RetryLater)
    assert isinstance(provider.ask_payout("p-1"), RetryLater)
    assert bank.book.entries == {}


def signed(body: bytes, at: float | None = None) -> dict[str, str]:
    return {SIGNATURE: signature_of(body, SANDBOX_KEY, int(at or time.time()))}


def test_a_signed_webhook_names_its_reference(bank: Bank) -> None:
    body = json.dumps({"id": "evt_1", "type": "payout.settled", "reference": "p-1"}).encode()
    assert provider.verify(body, signed(body)) == Callback("evt_1", "payout.settled", "p-1")
    assert provider.verify(body + b" ", signed(body)) is None
    assert provider.verify(body, {}) is None
    for header in ("", "t=,v1=", "t=1,v1=é", f"t={'9' * 40},v1=0", "v1=0", "t=x,v1=0", "t=²,v1=0"):
        assert provider.verify(body, {SIGNATURE: header}) is None
    for at in (time.time() - 4 * 24 * 3600, time.time() + 3600):
        assert provider.verify(body, signed(body, at)) is None


@pytest.mark.parametrize("body", [b"", b"{}", b'{"id": "a b", "type": "x", "reference": "y"}', b"[1]"])
def test_a_signed_body_that_is_no_webhook_is_malformed(bank: Bank, body: bytes) -> None:
    with pytest.raises(Malformed):
        provider.verify(body, signed(body))


def test_in_production_the_sandbox_is_refused_unless_a_setting_allows_it(bank: Bank, settings: Any) -> None:
    assert provider.is_configured()
    settings.PAYMENT_SANDBOX_IN_PRODUCTION = False
    assert not provider.is_configured()
    settings.DEBUG = True
    assert provider.is_configured()


def test_every_provider_has_a_name_that_fits_and_no_key_in_its_repr() -> None:
    assert list(registry.PROVIDERS) == ["sandbox", "paystack"]
    for name, each in registry.PROVIDERS.items():
        assert isinstance(each, Provider)
        assert (each.name, len(name) <= 16) == (name, True)
    assert "0123456789" not in repr(payout())
    assert "buyer@" not in repr(collection())


def test_the_settings_know_the_providers_of_the_registry(settings: Any) -> None:
    assert list(registry.PROVIDERS) == settings.PAYMENT_PROVIDERS
