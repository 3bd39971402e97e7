"""A web worker is killed in the middle of a webhook: all or nothing is stored, and a retry completes it."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from observability.telemetry.metrics.slots import directory_lock
from observability.tests.vendors import Vendor
from observability.tests.waiting import PATIENCE_SECONDS, wait_until
from tests.faults.notifications import duplicates, firing, lost, triggers
from tests.installation import Installation, children_of, kill, kill_children, pid_of

pytestmark = [pytest.mark.faults, pytest.mark.processes]

LOCKS = Path("/proc/locks")

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
        assert wait_until(lambda: is_storing(installation))
        kill_children(installation.web)
        assert answer.result(timeout=PATIENCE_SECONDS) is False

    # PostgreSQL may finish what the dead worker asked for: then all of it is there.
    assert wait_until(lambda: not is_storing(installation))
    assert installation.count("episode") in {0, 100}
    installation.post_until_taken(body)
    expect_history(installation, 100)
    installation.await_settled()
    assert lost(slack, triggers(range(1, 101))) == lost(pagerduty, triggers(range(1, 101))) == set()
    assert duplicates(slack) == duplicates(pagerduty) == 0


def test_kill_9_at_any_moment(installation: Installation, slack: Vendor, pagerduty: Vendor) -> None:
    """Info alerts: routed nowhere, so that only the storing is looked at."""
    size, rounds = 1000, 4
    for number in range(rounds):
        body = firing(range(number * size, (number + 1) * size), severity="info")
        with ThreadPoolExecutor(1) as pool:
            answer: Future[bool] = pool.submit(installation.is_taken, body)
            threading.Event().wait(number * 0.05)
            kill_children(installation.web)
            taken = answer.result(timeout=PATIENCE_SECONDS)
        assert wait_until(lambda: not is_storing(installation))
        stored = installation.count("episode") - number * size
        assert stored == size if taken else stored in {0, size}
        installation.post_until_taken(body)

    assert installation.count("episode") == rounds * size
    assert installation.count("episodeevent") == rounds * size
    assert installation.count("delivery") == 0


@pytest.fixture
def unhurried(installation: Installation) -> Iterator[None]:
    """A gunicorn that kills a worker which does not end by itself only after ten minutes."""
    installation.environment["GUNICORN_CMD_ARGS"] = "--graceful-timeout=600"
    installation.web.stop()
    installation.restart(installation.web)
    yield
    del installation.environment["GUNICORN_CMD_ARGS"]
    kill(installation.web)


def await_lock(pid: int) -> None:
    """Until the process waits for a file's lock, which only Linux tells."""
    if LOCKS.exists():
        waits = re.compile(rf"-> FLOCK .* {pid} ")
        assert wait_until(lambda: waits.search(LOCKS.read_text()) is not None)
    else:
        threading.Event().wait(5)


@pytest.mark.usefixtures("unhurried")
def test_a_worker_that_is_still_starting_hears_that_it_has_to_stop(installation: Installation) -> None:
    """And ends by itself, long before gunicorn would kill it."""
    web = pid_of(installation.web)
    victim, survivor = children_of(web)
    with directory_lock(installation.folder / "metrics", fcntl.LOCK_EX):  # the new worker wants a slot
        os.kill(victim, signal.SIGKILL)
        assert wait_until(lambda: len({*children_of(web)} - {victim, survivor}) == 1)
        (newcomer,) = {*children_of(web)} - {victim, survivor}
        await_lock(newcomer)
        os.kill(web, signal.SIGTERM)
        assert wait_until(lambda: survivor not in children_of(web))
    assert installation.web.process
    assert installation.web.process.wait(PATIENCE_SECONDS) == 0
