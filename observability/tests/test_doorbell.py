"""The doorbell of the deliveries: the broker may hang, and whoever rings goes on at once."""

from __future__ import annotations

import threading

import pytest

from observability.alerts.delivery import doorbell
from observability.tests.waiting import PATIENCE_SECONDS

RING = doorbell.Doorbell.ring  # conftest.py replaces it for every test


def test_nobody_waits_for_a_broker_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    released, began = threading.Event(), threading.Semaphore(0)

    def hang(*_arguments: object, **_options: object) -> None:
        began.release()
        released.wait(PATIENCE_SECONDS)

    monkeypatch.setattr("observability.tasks.deliver_channel.apply_async", hang)
    bell = doorbell.Doorbell()
    RING(bell, ["slack"])
    assert began.acquire(timeout=PATIENCE_SECONDS)
    for _ in range(100):
        RING(bell, ["slack", "pagerduty"])  # each returns while the first publish still hangs
    assert not began.acquire(blocking=False)
    released.set()
    assert began.acquire(timeout=PATIENCE_SECONDS)
    assert began.acquire(timeout=PATIENCE_SECONDS)  # those rung meanwhile became one for each channel
