"""The doorbell enqueues a task with the caller's request id, and neither delays nor fails the caller."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

import pytest
from kombu.exceptions import OperationalError

from core.doorbell import Doorbell
from core.request_id import current_request_id, request_id

PATIENCE_SECONDS = 60
RING = Doorbell.ring  # fixtures of other tests replace it on the class
TASK = "some.tasks.send_rows"


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """`published(failures)` replaces the publishing: what was published, and a semaphore for each of it."""

    def replace(failures: list[Exception | None]) -> tuple[list[tuple[str, tuple[str, ...], str]], Any]:
        seen: list[tuple[str, tuple[str, ...], str]] = []
        arrived = threading.Semaphore(0)

        def publish(task_name: str, arguments: tuple[str, ...]) -> None:
            seen.append((task_name, arguments, current_request_id()))
            failure = failures.pop(0) if failures else None
            arrived.release()
            if failure is not None:
                raise failure

        monkeypatch.setattr("core.doorbell.publish", publish)
        return seen, arrived

    return replace


def test_the_task_is_enqueued_with_its_arguments_and_the_callers_request_id(
    published: Callable[..., Any],
) -> None:
    seen, arrived = published([])
    token = request_id.set("request-0123456789")
    RING(Doorbell(TASK), "slack")
    request_id.reset(token)
    assert arrived.acquire(timeout=PATIENCE_SECONDS)
    assert seen == [(TASK, ("slack",), "request-0123456789")]


def test_after_a_publish_that_failed_the_next_one_works(published: Callable[..., Any]) -> None:
    seen, arrived = published([OperationalError("down")])
    doorbell = Doorbell(TASK)
    RING(doorbell)
    assert arrived.acquire(timeout=PATIENCE_SECONDS)
    RING(doorbell)
    assert arrived.acquire(timeout=PATIENCE_SECONDS)
    assert len(seen) == 2


def test_no_caller_waits_for_a_broker_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    released, began = threading.Event(), threading.Semaphore(0)

    def hang(_task_name: str, _arguments: tuple[str, ...]) -> None:
        began.release()
        released.wait(PATIENCE_SECONDS)

    monkeypatch.setattr("core.doorbell.publish", hang)
    doorbell = Doorbell(TASK)
    RING(doorbell, "slack")
    assert began.acquire(timeout=PATIENCE_SECONDS)
    for _ in range(100):
        RING(doorbell, "slack")  # each returns while the first publish still hangs
        RING(doorbell, "pagerduty")
    assert not began.acquire(blocking=False)
    released.set()
    assert began.acquire(timeout=PATIENCE_SECONDS)
    assert began.acquire(timeout=PATIENCE_SECONDS), "one for each argument that was rung meanwhile"


def test_a_forked_process_starts_a_thread_of_its_own(
    published: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, arrived = published([])
    doorbell = Doorbell(TASK)
    monkeypatch.setattr(doorbell, "_process_id", os.getppid())  # as after a fork
    RING(doorbell)
    assert arrived.acquire(timeout=PATIENCE_SECONDS)
    assert len(seen) == 1
