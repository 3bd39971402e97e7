"""PostgreSQL is killed with -9 in a storm: what was answered with 200 is there afterwards."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from observability.tests.vendors import Vendor
from observability.tests.waiting import PATIENCE_SECONDS, wait_until
from tests.faults.notifications import duplicates, firing, lost, triggers
from tests.installation import Installation

pytestmark = [pytest.mark.faults, pytest.mark.processes]

SENDERS = 4
NUMBERS = range(1, 301)
IN_FLIGHT = 4


def test_nothing_that_was_answered_200_is_lost(
    installation: Installation, slack: Vendor, pagerduty: Vendor
) -> None:
    taken: list[int] = []
    refused: list[int] = []
    restarted = threading.Event()

    def send(numbers: range) -> None:
        for number in numbers:
            if number == numbers[len(numbers) * 2 // 3]:
                restarted.wait()  # so that a part of the storm comes after the restart
            (taken if installation.is_taken(firing([number])) else refused).append(number)

    with ThreadPoolExecutor(SENDERS) as pool:
        storm = [pool.submit(send, NUMBERS[first::SENDERS]) for first in range(SENDERS)]
        try:
            assert wait_until(lambda: len(taken) >= 40)
            installation.postgres.kill()
            assert wait_until(lambda: len(refused) > 0)
        finally:
            installation.postgres.start()
            restarted.set()
        for sender in storm:
            sender.result(timeout=PATIENCE_SECONDS)

    stored = {
        int(fingerprint, 16)
        for (fingerprint,) in installation.rows("SELECT fingerprint FROM observability_episode")
    }
    assert set(taken) - stored == set()
    assert refused

    for number in refused:
        installation.post_until_taken(firing([number]))
    assert installation.count("episode") == len(NUMBERS)
    assert installation.count("episodeevent", "kind = 'fired'") == len(NUMBERS)
    installation.await_settled()
    assert lost(slack, triggers(NUMBERS)) == lost(pagerduty, triggers(NUMBERS)) == set()
    # What had been sent and not yet written down is sent again.
    assert duplicates(slack) + duplicates(pagerduty) <= IN_FLIGHT
