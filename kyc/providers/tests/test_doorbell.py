"""The doorbell: heard with the caller's request id, and never in the caller's way."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from kombu.exceptions import OperationalError

from core.request_id import current_request_id, request_id
from kyc.providers.doorbell import Doorbell
from observability.tests.waiting import PATIENCE_SECONDS


def heard_by(monkeypatch: pytest.MonkeyPatch, answers: list[Exception | None]) -> tuple[list[str], Any]:
    """The request ids of the rings that arrive, and how to wait for the next; each is answered in turn."""
    heard: list[str] = []
    arrived = threading.Semaphore(0)

    def apply_async(**_options: object) -> None:
        heard.append(current_request_id())
        answer = answers.pop(0) if answers else None
        arrived.release()
        if answer is not None:
            raise answer

    monkeypatch.setattr("kyc.tasks.run_checks.apply_async", apply_async)
    return heard, arrived


def test_a_ring_arrives_with_the_callers_request_id(monkeypatch: pytest.MonkeyPatch) -> None:
    heard, arrived = heard_by(monkeypatch, [])
    token = request_id.set("request-0123456789")
    Doorbell().ring()
    request_id.reset(token)
    assert arrived.acquire(timeout=PATIENCE_SECONDS)
    assert heard == ["request-0123456789"]


def test_after_a_ring_that_failed_the_next_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    heard, arrived = heard_by(monkeypatch, [OperationalError("down")])
    doorbell = Doorbell()
    doorbell.ring()
    assert arrived.acquire(timeout=PATIENCE_SECONDS)
    doorbell.ring()
    assert arrived.acquire(timeout=PATIENCE_SECONDS)
    assert len(heard) == 2


def test_nobody_waits_for_a_broker_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    released, began = threading.Event(), threading.Semaphore(0)

    def hang(**_options: object) -> None:
        began.release()
        released.wait(10)

    monkeypatch.setattr("kyc.tasks.run_checks.apply_async", hang)
    doorbell = Doorbell()
    doorbell.ring()
    assert began.acquire(timeout=PATIENCE_SECONDS)
    for _ in range(100):
        doorbell.ring()  # each returns while the first still hangs
    assert not began.acquire(blocking=False)
    released.set()
    assert began.acquire(timeout=PATIENCE_SECONDS), "those rung meanwhile became one"
