"""Slack and PagerDuty fail for some seconds, each in its own way."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from local.processes import wait_until
from observability.tests.vendors import Received, Reply, Vendor
from tests.faults.told import Told, firing, reading, resolved, told
from tests.installation import Installation

pytestmark = [pytest.mark.faults, pytest.mark.processes]

FIRING = range(1, 7)
ENDING = range(7, 11)
FAULT_SECONDS = 6.0
RETRY_AFTER_SECONDS = 3


@dataclass
class Failing:
    """A vendor that answers with `reply` for some seconds. `takes`: it acts on the message all the same."""

    vendor: Vendor
    reply: Reply
    takes: bool
    until: float = field(default_factory=lambda: time.monotonic() + FAULT_SECONDS)
    acted_on: list[Told] = field(default_factory=list)
    failures: int = 0

    def __post_init__(self) -> None:
        self.vendor.decide = self.decide

    def decide(self, received: Received) -> Reply:
        fails = time.monotonic() < self.until
        self.failures += fails
        if self.takes or not fails:
            self.acted_on.append(reading(received.body))
        return self.reply if fails else self.vendor.default

    def open_incidents(self) -> set[int]:
        """As PagerDuty would see it: a trigger opens, a resolve closes, and closing nothing is nothing."""
        is_open: set[int] = set()
        for number, action in self.acted_on:
            (is_open.add if action == "trigger" else is_open.discard)(number)
        return is_open

    def doubled(self) -> int:
        return len(self.acted_on) - len(set(self.acted_on))


@pytest.mark.parametrize(
    ("reply", "takes"),
    [
        pytest.param(Reply(500, "rollup_error"), False, id="500"),
        pytest.param(Reply(hang=5.0), True, id="hang"),
        pytest.param(Reply(reset=True), True, id="reset-after-it-accepted"),
    ],
)
def test_nothing_is_lost_while_vendors_fail(
    reply: Reply, takes: bool, installation: Installation, slack: Vendor, pagerduty: Vendor
) -> None:
    failing = [Failing(vendor, reply, takes) for vendor in (slack, pagerduty)]
    assert installation.post(firing([*FIRING, *ENDING])) == 200
    assert wait_until(lambda: all(vendor.failures for vendor in failing), 10)
    assert installation.post(resolved(ENDING)) == 200

    installation.await_settled(60)
    for vendor in failing:
        assert vendor.open_incidents() == set(FIRING)
        assert vendor.doubled() <= (vendor.failures if takes else 0)
    # Who only reads messages must hear of the end also when the beginning never came through.
    assert {number for number, action in failing[0].acted_on if action == "resolve"} == set(ENDING)
    assert installation.count("delivery", "state IN ('failed', 'dead')") == 0


def test_retry_after_is_kept(installation: Installation, slack: Vendor, pagerduty: Vendor) -> None:
    limited = Reply(429, '{"ok":false,"error":"rate_limited"}', {"Retry-After": str(RETRY_AFTER_SECONDS)})
    failing = Failing(slack, limited, takes=False)
    assert installation.post(firing([*FIRING, *ENDING])) == 200
    assert wait_until(lambda: failing.failures > 0, 10)
    assert installation.post(resolved(ENDING)) == 200

    installation.await_settled(60)
    assert failing.open_incidents() == set(FIRING)
    assert {number for number, action in failing.acted_on if action == "resolve"} == set(ENDING)
    assert failing.doubled() == 0
    moments = [received.at for received in slack.received]
    waits = [later - earlier for earlier, later in pairwise(moments[: failing.failures + 1])]
    # Two senders may be told so at the same time; after that nobody comes before the time is over.
    assert all(wait < 1 or wait >= RETRY_AFTER_SECONDS - 0.1 for wait in waits), waits
    assert sum(wait >= RETRY_AFTER_SECONDS - 0.1 for wait in waits) >= FAULT_SECONDS // RETRY_AFTER_SECONDS
    # The other channel is not held up.
    assert {number for number, action in told(pagerduty) if action == "trigger"} >= set(FIRING)
