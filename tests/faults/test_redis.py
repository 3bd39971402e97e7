"""Redis is killed, loses its data, or hangs: it only queues tasks, so no alert is lost."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable

import pytest
import redis
import requests

from local.services import PrivateValkey
from observability.tests.vendors import Vendor
from tests.faults.notifications import duplicates, firing, lost, triggers
from tests.installation import Installation, pause, resume

pytestmark = [pytest.mark.faults, pytest.mark.processes]


def wipe(valkey: PrivateValkey) -> None:
    """kill -9, and its files are gone."""
    valkey.kill()
    shutil.rmtree(valkey.folder / "appendonlydir")


def test_a_thousand_queued_notifications_survive_a_killed_and_wiped_redis(
    installation: Installation, slack: Vendor, pagerduty: Vendor
) -> None:
    numbers = range(1, 501)
    pause(installation.worker)
    for first in numbers[::50]:
        assert installation.post(firing(range(first, first + 50))) == 200
    assert installation.count("delivery", "state = 'pending'") == 1000
    with redis.Redis.from_url(installation.valkey.url) as client:
        assert client.llen("celery")

    wipe(installation.valkey)
    installation.valkey.start()
    resume(installation.worker)

    installation.await_settled_supervised()
    assert lost(slack, triggers(numbers)) == lost(pagerduty, triggers(numbers)) == set()
    assert duplicates(slack) == duplicates(pagerduty) == 0


def kill_redis(valkey: PrivateValkey) -> Callable[[], None]:
    valkey.kill()
    return valkey.start


def hang_redis(valkey: PrivateValkey) -> Callable[[], None]:
    os.kill(valkey.pid, signal.SIGSTOP)
    return lambda: os.kill(valkey.pid, signal.SIGCONT)


@pytest.mark.parametrize("take_away", [kill_redis, hang_redis])
def test_webhooks_are_taken_while_redis_is_away(
    take_away: Callable[[PrivateValkey], Callable[[], None]],
    installation: Installation,
    slack: Vendor,
    pagerduty: Vendor,
) -> None:
    """And wait for nobody: core/tests/test_doorbell.py."""
    numbers = range(1, 201)
    give_back = take_away(installation.valkey)
    try:
        with requests.Session() as session:
            for number in numbers:
                assert installation.post(firing([number]), session=session) == 200
    finally:
        give_back()

    installation.await_settled_supervised()
    assert lost(slack, triggers(numbers)) == lost(pagerduty, triggers(numbers)) == set()
    assert duplicates(slack) == duplicates(pagerduty) == 0
