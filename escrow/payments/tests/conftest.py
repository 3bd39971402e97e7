"""Fixtures: Paystack and the sandbox bank over real HTTP."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from core.registry import Registry
from escrow.payments import registry
from escrow.payments.tests.fake import FakeProvider
from escrow.payments.tests.paystack_stand_in import PREVIOUS_KEY, SECRET_KEY, PaystackStandIn
from local.bank.server import Bank

SANDBOX_KEY = "key-of-the-sandbox-bank"


@pytest.fixture
def paystack(settings: Any) -> Iterator[PaystackStandIn]:
    stand_in = PaystackStandIn()
    settings.PAYMENT_PROVIDER = "paystack"
    settings.PAYSTACK_SECRET_KEY = SECRET_KEY
    settings.PAYSTACK_SECRET_KEY_PREVIOUS = PREVIOUS_KEY
    settings.PAYSTACK_BASE_URL = stand_in.url
    yield stand_in
    stand_in.close()


@pytest.fixture
def bank(settings: Any) -> Iterator[Bank]:
    with Bank(0, key=SANDBOX_KEY) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        settings.PAYMENT_PROVIDER = "sandbox"
        settings.PAYMENT_SANDBOX_KEY = SANDBOX_KEY
        settings.PAYMENT_SANDBOX_URL = f"http://127.0.0.1:{server.server_port}"
        settings.PAYMENT_SANDBOX_IN_PRODUCTION = True
        yield server
        server.stopping.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """For what hangs."""
    monkeypatch.setattr("escrow.payments.paystack.provider.ASK_SECONDS", 0.3)
    monkeypatch.setattr("escrow.payments.paystack.provider.PAY_SECONDS", 0.3)
    monkeypatch.setattr("escrow.payments.sandbox.provider.SECONDS", 0.3)


@pytest.fixture(autouse=True)
def rings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The doorbells' rings; no test needs a broker for them."""
    rung: list[str] = []
    monkeypatch.setattr("core.doorbell.Doorbell.ring", lambda self: rung.append(self.task_name))
    return rung


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, settings: Any) -> FakeProvider:
    """The only provider."""
    provider = FakeProvider()
    settings.PAYMENT_PROVIDER = provider.name
    monkeypatch.setattr(registry, "PROVIDERS", Registry("payment provider", (provider,)))
    return provider
