"""With the shipped figures an operator is notified within 5 minutes after any part has stopped.

tests/stack/test_parts.py shows with real programs and shorter figures that there is a notification at all.
Here the longest time of each part is added up: it stops just after its last good check, and its alert joins a
group for which Alertmanager has just sent a notification.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings

from observability.alerts import watchdog
from observability.telemetry.health import BUDGET_SECONDS
from observability.telemetry.metrics.scrape import KEPT_SECONDS
from tests.rule_files import ALERTMANAGER, PROMETHEUS, alerts, load

LIMIT_SECONDS = 300
UNITS = {"s": 1, "m": 60, "h": 3600}
# Of Prometheus: an alert that it no longer mentions ends in Alertmanager after four times its resend delay.
RESEND_DELAY_SECONDS = 60
ENDS_AFTER_RESENDS = 4


def seconds(duration: str) -> int:
    found = re.fullmatch(r"(\d+)([smh])", duration)
    assert found is not None, duration
    return int(found[1]) * UNITS[found[2]]


def scrape_seconds() -> int:
    """Until a scrape has seen the part stopped: the interval, and the timeout of a scrape that hangs."""
    jobs = load(PROMETHEUS / "prometheus.yml")["scrape_configs"]
    (job,) = [job for job in jobs if job["job_name"] == "amani"]
    return seconds(job["scrape_interval"]) + seconds(job["scrape_timeout"])


def evaluation_seconds() -> int:
    return seconds(load(PROMETHEUS / "prometheus.yml")["global"]["evaluation_interval"])


def rule(name: str, scope: str | None) -> dict[str, Any]:
    (found,) = [
        alert for alert in alerts() if alert["alert"] == name and alert["labels"].get("scope") == scope
    ]
    return found


def rule_seconds(found: dict[str, Any]) -> int:
    """From the first evaluation that could see it to the one that fires."""
    return evaluation_seconds() + seconds(found["for"]) + evaluation_seconds()


def by_alertmanager_seconds() -> int:
    route = load(ALERTMANAGER)["route"]
    (fallback,) = [each for each in route["routes"] if each["receiver"] == "slack-and-pagerduty"]
    group = {**route, **fallback}
    return max(seconds(group["group_wait"]), seconds(group["group_interval"]))


def by_amani_seconds() -> float:
    """The next look, the questions which part it is, the sweep of the outbox, a vendor that is slow."""
    vendor = settings.NOTIFIER_CONNECT_TIMEOUT + settings.NOTIFIER_READ_TIMEOUT
    return (
        every_seconds("watch-pipeline")
        + watchdog.HEALTH_CHECK_SECONDS
        + every_seconds("deliver-due")
        + vendor
    )


def every_seconds(task: str) -> float:
    every = settings.CELERY_BEAT_SCHEDULE[task]["schedule"]
    assert isinstance(every, timedelta)
    return every.total_seconds()


def watchdog_route() -> dict[str, str]:
    routes = load(ALERTMANAGER)["route"]["routes"]
    (found,) = [route for route in routes if route.get("matchers") == ['alertname="Watchdog"']]
    return dict(found)


PARTS = [
    ("ApplicationDown", "all"),
    ("RedisUnavailable", "unreachable"),
    ("DatabaseConnectionIssues", "unreachable"),
    ("AlertWorkerGone", None),
    ("AlertBeatGone", None),
]


@pytest.mark.parametrize(("name", "scope"), PARTS)
def test_alertmanager_pages_within_five_minutes_of_the_stop_of_a_part(name: str, scope: str | None) -> None:
    found = rule(name, scope)
    assert found["labels"]["severity"] == "critical"
    assert found["labels"]["notified_by"] == "alertmanager"
    silence = [int(number) for number in re.findall(r"time\(\) - [^>]*> (\d+)", found["expr"])]
    beat = every_seconds("watch-pipeline") if silence else 0
    probe = KEPT_SECONDS + BUDGET_SECONDS
    total = (
        beat
        + max(silence, default=0)
        + probe
        + scrape_seconds()
        + rule_seconds(found)
        + by_alertmanager_seconds()
    )
    assert total <= LIMIT_SECONDS


def test_amani_pages_within_five_minutes_of_the_stop_of_alertmanager() -> None:
    assert settings.WATCHDOG_TIMEOUT_SECONDS <= 240
    assert settings.WATCHDOG_TIMEOUT_SECONDS + by_amani_seconds() <= LIMIT_SECONDS


def test_amani_pages_within_five_minutes_of_the_stop_of_prometheus() -> None:
    """Alertmanager goes on repeating the Watchdog until it ends, and reports that at the next flush."""
    ends = ENDS_AFTER_RESENDS * RESEND_DELAY_SECONDS
    flush = seconds(watchdog_route()["group_interval"])
    assert ends + flush + by_amani_seconds() <= LIMIT_SECONDS


def test_three_watchdogs_in_a_row_have_to_be_missing_until_amani_pages() -> None:
    """It is repeated at the first flush after its interval; a restart may cost one or two."""
    flush, repeat = (seconds(watchdog_route()[name]) for name in ("group_interval", "repeat_interval"))
    every = -(-repeat // flush) * flush
    assert every == 60
    assert 3 * every < settings.WATCHDOG_TIMEOUT_SECONDS
