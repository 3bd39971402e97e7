"""Each part of Amani is hung (SIGSTOP) or killed: operators are notified without it, with its name.

These tests check that there is a notification and which part it names; tests/test_time_to_notify.py checks
that it takes less than 5 minutes with the shipped figures. All hangs come first, then all kills, so that the
alert of a part has ended before its part is broken again.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
import requests

from conftest import find_binary
from local.children import Program
from local.services import PrivatePostgres, PrivateService
from observability.tests.vendors import Vendor
from observability.tests.waiting import ANSWER_SECONDS, wait_until
from tests.installation import Installation, children_of, kill, pause, resume
from tests.stack.monitoring import Monitoring

pytestmark = [pytest.mark.stack, pytest.mark.needs("prometheus", "alertmanager")]

OWN_PATH = "/by-alertmanager"
TIMEOUT_SECONDS = 6  # of the Watchdog, which comes every two seconds here


class Stack(NamedTuple):
    installation: Installation
    monitoring: Monitoring


@pytest.fixture(scope="module")
def stack(
    running_installation: Installation,
    vendors: tuple[Vendor, Vendor],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stack]:
    """Everything there is, with a worker that misses the Watchdog after a few seconds."""
    slack, pagerduty = vendors
    monitoring = Monitoring(
        tmp_path_factory.mktemp("parts"),
        running_installation.port,
        found,
        slack_url=slack.url + OWN_PATH,
        pagerduty_url=pagerduty.url + OWN_PATH,
        silence_seconds=4,
        resend_delay="1s",
        scrape_seconds=3,  # while PostgreSQL or Redis hangs, an answer takes a second
    )
    usual = dict(running_installation.environment)
    running_installation.environment.update(
        PROMETHEUS_URL=monitoring.prometheus_url,
        ALERTMANAGER_URL=monitoring.alertmanager_url,
        WATCHDOG_TIMEOUT_SECONDS=str(TIMEOUT_SECONDS),
    )
    running_installation.worker.stop()  # `installation` starts it again, with these
    monitoring.start()
    yield Stack(running_installation, monitoring)
    monitoring.stop()
    running_installation.environment.clear()
    running_installation.environment.update(usual)
    running_installation.worker.stop()
    for name in ("prometheus", "alertmanager"):
        sys.stdout.write(f"--- {name}\n{monitoring.log(name)}\n")


def found(name: str) -> str:
    path = find_binary(name)
    assert path is not None, name
    return path


# --- How a part is broken, and mended ---

Mend = Callable[[], None]


def hang(part: Program | PrivateService) -> Mend:
    """SIGSTOP, so that nothing notices an end and starts it again."""
    if isinstance(part, Program):
        pause(part)
        return lambda: resume(part)
    pids = [part.pid, *children_of(part.pid)] if isinstance(part, PrivatePostgres) else [part.pid]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    return lambda: proceed(pids)


def proceed(pids: list[int]) -> None:
    for pid in pids:
        os.kill(pid, signal.SIGCONT)


def kill_9(part: Program | PrivateService) -> Mend:
    if isinstance(part, Program):
        kill(part)
    else:
        part.kill()
    return part.start


def part_of(stack: Stack, name: str) -> Program | PrivateService:
    installation, monitoring = stack
    parts: dict[str, Program | PrivateService] = {
        "web": installation.web,
        "worker": installation.worker,
        "beat": installation.beat,
        "Redis": installation.valkey,
        "PostgreSQL": installation.postgres,
        "Prometheus": monitoring.prometheus,
        "Alertmanager": monitoring.alertmanager,
    }
    return parts[name]


# --- What people hear ---

# What names the part, who sends it, and the alert.
BY_ALERTMANAGER = {
    "web": ("Amani is down: web does not answer", "ApplicationDown"),
    "worker": ("Amani's worker has stopped", "AlertWorkerGone"),
    "beat": ("Amani's beat has stopped", "AlertBeatGone"),
    "Redis": ("Redis does not answer Amani", "RedisUnavailable"),
    "PostgreSQL": ("PostgreSQL does not answer Amani", "DatabaseConnectionIssues"),
}
BY_AMANI = {
    "Prometheus": ": Prometheus does not answer (PROMETHEUS_URL).",
    "Alertmanager": ": Alertmanager does not answer (ALERTMANAGER_URL).",
}


def fires(body: dict[str, Any], words: str) -> bool:
    """Whether a message says that it is so, and not that it is over (Alertmanager repeats what has ended)."""
    if "event_action" in body:
        return body["event_action"] == "trigger" and words in body["payload"]["summary"]
    lines = json.dumps(body, ensure_ascii=False).split("\\n")
    return any(words in line and "(resolved)" not in line and "RESOLVED" not in line for line in lines)


def received(vendor: Vendor, words: str, *, by_alertmanager: bool) -> bool:
    with vendor.lock:
        received = list(vendor.received)
    return any(
        fires(message.body, words)
        for message in received
        if message.path.endswith(OWN_PATH) == by_alertmanager
    )


def is_well(stack: Stack, alertname: str) -> bool:
    """Whether the alert of the part is over, and a Watchdog has just arrived."""
    alerts = requests.get(f"{stack.monitoring.alertmanager_url}/api/v2/alerts", timeout=ANSWER_SECONDS).json()
    names = {alert["labels"]["alertname"] for alert in alerts}
    watchdog = stack.installation.rows(
        "SELECT 1 FROM observability_heartbeat WHERE name = 'watchdog' AND ended_at IS NULL"
        " AND last_seen_at > now() - interval '3 seconds'"
    )
    return "Watchdog" in names and alertname not in names and bool(watchdog)


def await_well(stack: Stack, alertname: str) -> None:
    assert wait_until(lambda: is_well(stack, alertname)), stack.monitoring.alerts()


@pytest.mark.parametrize("part", BY_ALERTMANAGER)
@pytest.mark.parametrize("break_it", [hang, kill_9])
def test_part_of_amani_that_stops_is_named_by_alertmanager(
    break_it: Callable[[Program | PrivateService], Mend],
    part: str,
    stack: Stack,
    installation: Installation,
    slack: Vendor,
    pagerduty: Vendor,
) -> None:
    words, alertname = BY_ALERTMANAGER[part]
    await_well(stack, alertname)
    mend = break_it(part_of(stack, part))
    try:
        assert wait_until(
            lambda: all(received(vendor, words, by_alertmanager=True) for vendor in (slack, pagerduty))
        ), stack.monitoring.alerts()
    finally:
        mend()


@pytest.mark.parametrize("part", BY_AMANI)
@pytest.mark.parametrize("break_it", [hang, kill_9])
def test_part_of_the_monitoring_that_stops_is_named_by_amani(
    break_it: Callable[[Program | PrivateService], Mend],
    part: str,
    stack: Stack,
    installation: Installation,
    slack: Vendor,
    pagerduty: Vendor,
) -> None:
    await_well(stack, "WatchdogAbsent")
    mend = break_it(part_of(stack, part))
    try:
        assert wait_until(
            lambda: all(
                received(vendor, BY_AMANI[part], by_alertmanager=False) for vendor in (slack, pagerduty)
            )
        ), installation.states()
    finally:
        mend()
