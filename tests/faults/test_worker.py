"""The worker, one of its children, or beat is killed while messages are being sent."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator

import pytest

from local.processes import signal_group
from observability.tests.vendors import Vendor
from observability.tests.waiting import PATIENCE_SECONDS, wait_until
from tests.faults.notifications import duplicates, firing, lost, notifications, triggers
from tests.installation import Installation, children_of, kill, pid_of

pytestmark = [pytest.mark.faults, pytest.mark.processes]

IN_FLIGHT = 4  # two senders for each of two channels, and as many children of the worker
NUMBERS = range(1, 41)


@pytest.fixture
def digesting(installation: Installation) -> Iterator[None]:
    """A worker that bundles, as it is shipped: more than five alerts at once become one message."""
    usual = dict(installation.environment)
    installation.environment["ALERT_DIGEST_THRESHOLD"] = "5"
    installation.worker.stop()
    installation.restart(installation.worker)
    yield
    installation.environment.update(usual)
    installation.worker.stop()


@pytest.fixture
def in_flight(installation: Installation, slack: Vendor, pagerduty: Vendor) -> set[int]:
    """The alerts of which a message was taken by a vendor that has not answered yet."""
    for vendor in (slack, pagerduty):
        vendor.gate.clear()
    assert installation.post(firing(NUMBERS)) == 200
    both = (slack, pagerduty)
    assert wait_until(lambda: sum(len(notifications(vendor)) for vendor in both) == IN_FLIGHT)
    return {number for vendor in both for number, _ in notifications(vendor)}


def open_gates(*vendors: Vendor) -> None:
    for vendor in vendors:
        vendor.gate.set()


def test_kill_9_of_the_worker_loses_nothing(
    installation: Installation, slack: Vendor, pagerduty: Vendor, in_flight: set[int]
) -> None:
    kill(installation.worker)
    open_gates(slack, pagerduty)
    installation.restart(installation.worker)

    assert wait_until(lambda: duplicates(slack) + duplicates(pagerduty) == IN_FLIGHT)
    installation.await_settled()
    assert lost(slack, triggers(NUMBERS)) == lost(pagerduty, triggers(NUMBERS)) == set()
    assert duplicates(slack) + duplicates(pagerduty) == IN_FLIGHT


def test_a_dead_senders_message_is_sent_again_though_nothing_else_is_due(
    installation: Installation, slack: Vendor, pagerduty: Vendor
) -> None:
    """Long before its lease of ten minutes is over: the lock of a dead sender is free."""
    slack.gate.clear()
    assert installation.post(firing([1], severity="warning")) == 200
    assert wait_until(lambda: notifications(slack) == [(1, "trigger")])
    assert installation.post(firing([2], severity="warning")) == 200
    assert wait_until(lambda: len(notifications(slack)) == 2)  # by another sender
    kill(installation.worker)
    slack.gate.set()
    installation.restart(installation.worker)

    installation.await_settled()
    assert lost(slack, triggers([1, 2])) == set()
    assert duplicates(slack) == 2


def test_kill_9_of_the_main_process_alone_loses_nothing(
    installation: Installation, slack: Vendor, pagerduty: Vendor, in_flight: set[int]
) -> None:
    """Its children are left behind in the middle of their work."""
    worker = installation.worker.process
    assert worker is not None
    worker.kill()
    worker.wait()
    installation.restart(installation.worker)
    open_gates(slack, pagerduty)

    installation.await_settled()
    signal_group(worker.pid, signal.SIGKILL)  # those who did not notice
    assert lost(slack, triggers(NUMBERS)) == lost(pagerduty, triggers(NUMBERS)) == set()
    assert duplicates(slack) + duplicates(pagerduty) <= IN_FLIGHT


def test_kill_9_of_one_child_loses_nothing(
    installation: Installation, slack: Vendor, pagerduty: Vendor, in_flight: set[int]
) -> None:
    os.kill(children_of(pid_of(installation.worker))[0], signal.SIGKILL)
    assert wait_until(lambda: duplicates(slack) + duplicates(pagerduty) > 0)
    open_gates(slack, pagerduty)

    installation.await_settled()
    assert lost(slack, triggers(NUMBERS)) == lost(pagerduty, triggers(NUMBERS)) == set()
    assert duplicates(slack) + duplicates(pagerduty) <= IN_FLIGHT


def test_sigterm_of_the_worker_loses_and_doubles_nothing(
    installation: Installation, slack: Vendor, pagerduty: Vendor, in_flight: set[int]
) -> None:
    worker = installation.worker.process
    assert worker is not None
    worker.terminate()
    open_gates(slack, pagerduty)
    assert worker.wait(timeout=PATIENCE_SECONDS) == 0

    installation.restart(installation.worker)
    installation.await_settled()
    assert lost(slack, triggers(NUMBERS)) == lost(pagerduty, triggers(NUMBERS)) == set()
    assert duplicates(slack) == duplicates(pagerduty) == 0


def test_the_doorbell_delivers_without_beat(
    installation: Installation, slack: Vendor, pagerduty: Vendor
) -> None:
    kill(installation.beat)
    for number in NUMBERS:
        assert installation.post(firing([number])) == 200

    installation.await_settled()
    assert lost(slack, triggers(NUMBERS)) == lost(pagerduty, triggers(NUMBERS)) == set()
    assert duplicates(slack) == duplicates(pagerduty) == 0


@pytest.mark.usefixtures("digesting")
def test_kill_9_while_a_digest_is_on_its_way_loses_none_of_its_alerts(
    installation: Installation, slack: Vendor
) -> None:
    slack.gate.clear()
    assert installation.post(firing(NUMBERS, severity="warning")) == 200
    assert wait_until(lambda: len(slack.bodies()) == 1)
    kill(installation.worker)
    slack.gate.set()
    installation.restart(installation.worker)

    installation.await_settled()
    digests = [set(re.findall(r"web-(\d+)", json.dumps(body))) for body in slack.bodies()]
    assert digests == [{str(number) for number in NUMBERS}] * 2
    assert (
        installation.count("delivery", "kind = 'trigger' AND channel = 'slack' AND state = 'delivered'") == 40
    )
