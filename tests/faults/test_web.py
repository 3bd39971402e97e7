"""A web worker is killed in the middle of a webhook: all or nothing is stored, and a retry completes it."""

from __future__ import annotations

import fcntl
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import psycopg
import pytest

from local.processes import wait_until
from observability.slots import directory_lock
from observability.tests.vendors import Vendor
from tests.faults.told import doubled, firing, lost, triggers
from tests.installation import Installation, children_of, kill_children, pid_of

pytestmark = [pytest.mark.faults, pytest.mark.processes]

BUSY = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    " AND pid <> pg_backend_pid() AND query LIKE '%%WITH receipt_id AS%%' AND state = 'active'"
)


@contextmanager
def receipts_held(installation: Installation) -> Iterator[None]:
    """Nobody can store a receipt meanwhile, so a webhook waits in the middle of its statement."""
    with psycopg.connect(installation.database_url) as connection:
        connection.execute("LOCK TABLE observability_receipt IN EXCLUSIVE MODE")
        yield


def is_storing(installation: Installation) -> bool:
    return bool(installation.rows(BUSY)[0][0])


def expect_history(installation: Installation, alerts: int) -> None:
    assert installation.count("episode") == alerts
    assert installation.count("episodeevent", "kind = 'fired'") == alerts
    assert installation.count("delivery", "kind = 'trigger'") == 2 * alerts


def test_kill_9_in_the_middle_of_the_statement(
    installation: Installation, slack: Vendor, pagerduty: Vendor
) -> None:
    body = firing(range(1, 101))
    with ThreadPoolExecutor(1) as pool, receipts_held(installation):
        answer: Future[bool] = pool.submit(installation.is_taken, body)
        assert wait_until(lambda: is_storing(installation), 10)
        kill_children(installation.web)
        assert answer.result(timeout=10) is False

    # PostgreSQL may finish what the dead worker asked for: then all of it is there.
    assert wait_until(lambda: not is_storing(installation), 10)
    assert installation.count("episode") in {0, 100}
    installation.post_until_taken(body)
    expect_history(installation, 100)
    installation.await_settled(30)
    assert lost(slack, triggers(range(1, 101))) == lost(pagerduty, triggers(range(1, 101))) == set()
    assert doubled(slack) == doubled(pagerduty) == 0


def test_kill_9_at_any_moment(installation: Installation, slack: Vendor, pagerduty: Vendor) -> None:
    """Info alerts: routed nowhere, so that only the storing is looked at."""
    size, rounds = 1000, 4
    for number in range(rounds):
        body = firing(range(number * size, (number + 1) * size), severity="info")
        with ThreadPoolExecutor(1) as pool:
            answer: Future[bool] = pool.submit(installation.is_taken, body)
            threading.Event().wait(number * 0.05)
            kill_children(installation.web)
            taken = answer.result(timeout=30)
        assert wait_until(lambda: not is_storing(installation), 10)
        stored = installation.count("episode") - number * size
        assert stored == size if taken else stored in {0, size}
        installation.post_until_taken(body)

    assert installation.count("episode") == rounds * size
    assert installation.count("episodeevent") == rounds * size
    assert installation.count("delivery") == 0


def test_a_worker_that_is_still_starting_hears_that_it_has_to_stop(installation: Installation) -> None:
    web = pid_of(installation.web)
    victim, survivor = children_of(web)
    with directory_lock(installation.folder / "metrics", fcntl.LOCK_EX):  # the new worker wants a slot
        os.kill(victim, signal.SIGKILL)
        assert wait_until(lambda: len({*children_of(web)} - {victim, survivor}) == 1, 10)
        threading.Event().wait(0.5)
        os.kill(web, signal.SIGTERM)
        assert wait_until(lambda: survivor not in children_of(web), 10)
    assert installation.web.process
    assert installation.web.process.wait(10) == 0
    installation.restart(installation.web)
