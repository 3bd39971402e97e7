"""The doorbell: heard with the caller's request id, and never in the caller's way."""

from __future__ import annotations

import threading

import pytest

from accounts.mail.doorbell import Doorbell
from core.request_id import current_request_id, request_id


def test_nobody_waits_for_a_broker_that_hangs_and_the_worker_knows_the_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    released, began = threading.Event(), threading.Semaphore(0)
    heard: list[str] = []

    def hang(**_options: object) -> None:
        heard.append(current_request_id())
        began.release()
        released.wait(60)

    monkeypatch.setattr("accounts.tasks.send_mails.apply_async", hang)
    doorbell = Doorbell()
    token = request_id.set("request-0123456789")
    doorbell.ring()
    request_id.reset(token)
    assert began.acquire(timeout=60)
    for _ in range(100):
        doorbell.ring()  # each returns while the first still hangs
    assert not began.acquire(blocking=False)
    assert heard == ["request-0123456789"]
    released.set()
    assert began.acquire(timeout=60), "those rung meanwhile became one"
    assert len(heard) == 2
