"""Slack and PagerDuty fail for a while, each in its own way."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from observability.tests.vendors import Received, Reply, Vendor
from observability.tests.waiting import wait_until
from tests.faults.notifications import Notification, firing, notification_in, notifications, resolved
from tests.installation import Installation

pytestmark = [pytest.mark.faults, pytest.mark.processes]

FIRING = range(1, 7)
ENDING = range(7, 11)
FAILURES = 4  # of each vendor, before it works again
RETRY_AFTER_SECONDS = 3
CLOCKS_DIFFER_SECONDS = 0.1
SENDERS = 2  # of each channel


@dataclass
class Failing:
    """A vendor that answers with `reply` until it works again. `takes`: it acts on messages all the same."""

    vendor: Vendor
    reply: Reply
    takes: bool
    works_again: bool = False
    acted_on: list[Notification] = field(default_factory=list)
    failed_at: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.vendor.decide = self.decide

    def decide(self, received: Received) -> Reply:
        fails = not self.works_again
        if fails:
            self.failed_at.append(time.monotonic())
        if self.takes or not fails:
            self.acted_on.append(notification_in(received.body))
        return self.reply if fails else self.vendor.default

    @property
    def failures(self) -> int:
        return len(self.failed_at)

    def fail_on(self, failures: int) -> None:
        """Works again after so many failures."""
        assert wait_until(lambda: self.failures >= failures), self.failures
        self.works_again = True

    def open_incidents(self) -> set[int]:
        """As PagerDuty would see it: a trigger opens, a resolve closes, and closing nothing is nothing."""
        is_open: set[int] = set()
        for number, action in self.acted_on:
            (is_open.add if action == "trigger" else is_open.discard)(number)
        return is_open

    def duplicates(self) -> int:
        return len(self.acted_on) - len(set(self.acted_on))


def test_retry_after_is_kept(installation: Installation, slack: Vendor, pagerduty: Vendor) -> None:
    limited = Reply(429, '{"ok":false,"error":"rate_limited"}', {"Retry-After": str(RETRY_AFTER_SECONDS)})
    failing = Failing(slack, limited, takes=False)
    assert installation.post(firing([*FIRING, *ENDING])) == 200
    assert wait_until(lambda: failing.failures > 0)
    assert installation.post(resolved(ENDING)) == 200
    failing.fail_on(FAILURES)

    installation.await_settled()
    assert failing.open_incidents() == set(FIRING)
    assert {number for number, action in failing.acted_on if action == "resolve"} == set(ENDING)
    assert failing.duplicates() == 0
    # Who was on its way already, the other sender, may still come; nobody else before the time is over. After
    # the last two failures both may find the vendor at work again before the failure is written down.
    for failed_at in failing.failed_at[:-SENDERS]:
        over_at = failed_at + RETRY_AFTER_SECONDS - CLOCKS_DIFFER_SECONDS
        assert sum(failed_at < received.at < over_at for received in slack.received) < SENDERS
    # The other channel is not held up.
    assert {number for number, action in notifications(pagerduty) if action == "trigger"} >= set(FIRING)


@pytest.fixture(scope="module")
def impatient(running_installation: Installation) -> Iterator[None]:
    """A worker that waits four seconds for an answer. The test before has the usual one."""
    usual = dict(running_installation.environment)
    running_installation.environment["NOTIFIER_READ_TIMEOUT"] = "4"
    running_installation.worker.stop()  # `installation` starts it again, with this
    yield
    running_installation.environment.update(usual)
    running_installation.worker.stop()


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("reply", "takes"),
    [
        pytest.param(Reply(500, "rollup_error"), False, id="500"),
        pytest.param(Reply(hang=30.0), True, id="hang"),
        pytest.param(Reply(reset=True), True, id="reset-after-it-accepted"),
    ],
)
def test_nothing_is_lost_while_vendors_fail(
    reply: Reply, takes: bool, installation: Installation, slack: Vendor, pagerduty: Vendor
) -> None:
    failing = [Failing(vendor, reply, takes) for vendor in (slack, pagerduty)]
    assert installation.post(firing([*FIRING, *ENDING])) == 200
    assert wait_until(lambda: all(vendor.failures for vendor in failing))
    assert installation.post(resolved(ENDING)) == 200
    for vendor in failing:
        vendor.fail_on(FAILURES)

    installation.await_settled()
    for vendor in failing:
        assert vendor.open_incidents() == set(FIRING)
        assert vendor.duplicates() <= (vendor.failures if takes else 0)
    # Who only reads messages must hear of the end also when the beginning never came through.
    assert {number for number, action in failing[0].acted_on if action == "resolve"} == set(ENDING)
    assert installation.count("delivery", "state IN ('failed', 'dead')") == 0
