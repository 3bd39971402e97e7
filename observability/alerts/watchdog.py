"""Checks that the Watchdog arrives: the alert that always fires. When it is missing, no alert can arrive.

Its silence is measured only while Amani was running, so that an old Watchdog after a pause of Amani causes no
page. A gap between two checks counts for at most LONGEST_GAP: a worker that is restarted again and again
delays the alert but cannot prevent it.

After Prometheus has stopped, Alertmanager repeats the Watchdog for up to four minutes and then reports its
end. This report counts as silence immediately: to wait for WATCHDOG_TIMEOUT_SECONDS as well would be too
late.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import F

from core.outgoing import DeliveryError, send
from observability.alerts.monitoring import prometheus_headers
from observability.models import Heartbeat

LONGEST_GAP = timedelta(seconds=30)  # the check runs every 10 seconds
HEALTH_CHECK_SECONDS = 2.0
LONGEST_HEALTH_ANSWER = 1000  # bytes; only the status counts

CHECK_BEFORE_ALERTMANAGER = (
    "Check that Prometheus runs, its rule Watchdog, and Alertmanager's address in prometheus.yml."
)
CHECK_CONNECTION = (
    "Check the connection between them and Amani: the rule Watchdog, its route in alertmanager.yml, the "
    "webhook's address and its token."
)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class WatchdogStatus:
    """When the Watchdog was seen last, and for how long it has been silent.

    `silence` leaves out the time in which Amani did not run. `watching_for` is how long the worker has run
    without a long gap.
    """

    last_seen_at: datetime | None
    ended_at: datetime | None
    silence: timedelta
    watching_for: timedelta

    @property
    def is_present(self) -> bool:
        """Whether the Watchdog arrived within its timeout and has not ended."""
        return self.last_seen_at is not None and self.ended_at is None and self.silence <= timeout()

    @property
    def is_overdue(self) -> bool:
        """Whether the Watchdog is missing for too long.

        It can be neither present nor overdue: after an installation or a pause of Amani it is expected.
        """
        if self.ended_at is not None and self.watching_for > timeout() / 2:
            return True
        if self.last_seen_at is not None:
            return self.silence > timeout()
        limit = settings.WATCHDOG_FIRST_TIMEOUT_SECONDS
        return limit > 0 and self.silence > timedelta(seconds=limit)


def timeout() -> timedelta:
    return timedelta(seconds=settings.WATCHDOG_TIMEOUT_SECONDS)


def update(now: datetime) -> WatchdogStatus:
    """Stores the worker's heartbeat, adds the time since the last check to the Watchdog's silence.

    Returns the Watchdog's status.
    """
    watched, watching_since = store_worker_heartbeat(now)
    Heartbeat.objects.get_or_create(name=Heartbeat.WATCHDOG, defaults={"last_seen_at": None})
    row = Heartbeat.objects.filter(pk=Heartbeat.WATCHDOG)
    row.update(silent_seconds=F("silent_seconds") + watched.total_seconds())
    return status_of(row.get(), now, watching_since)


@transaction.atomic
def store_worker_heartbeat(now: datetime) -> tuple[timedelta, datetime]:
    """Returns (time since the last check, at most LONGEST_GAP; since when there was no longer gap)."""
    row, is_new = Heartbeat.objects.select_for_update().get_or_create(
        name=Heartbeat.WORKER, defaults={"last_seen_at": now, "watching_since": now}
    )
    gap = timedelta() if is_new or row.last_seen_at is None else max(now - row.last_seen_at, timedelta())
    row.last_seen_at = now
    if row.watching_since is None or gap > LONGEST_GAP:
        row.watching_since = now
    row.save(update_fields=["last_seen_at", "watching_since"])
    return min(gap, LONGEST_GAP), row.watching_since


def status_of(row: Heartbeat, now: datetime, watching_since: datetime) -> WatchdogStatus:
    """Returns the status in `row`, the heartbeat of the Watchdog."""
    silence = timedelta(seconds=row.silent_seconds)
    if row.last_seen_at is not None:  # the interval in which the Watchdog arrived was counted as a whole
        silence = min(silence, max(now - row.last_seen_at, timedelta()))
    return WatchdogStatus(row.last_seen_at, row.ended_at, silence, now - watching_since)


# --- Which part is the cause ---


def explain(status: WatchdogStatus) -> str:
    """Returns the summary of the alert: since when, and which part to check.

    Asks Prometheus and Alertmanager for their health, for HEALTH_CHECK_SECONDS at most.
    """
    if status.last_seen_at is None:
        since = "No Watchdog has ever arrived"
    else:
        since = f"No Watchdog since {status.last_seen_at:%Y-%m-%d %H:%M} UTC"
    return f"{since}: {likely_cause(status)} Alerts may not arrive."


def likely_cause(status: WatchdogStatus) -> str:
    """Returns a sentence that names the part that does not answer, or the connections to check."""
    monitors = {"Prometheus": settings.PROMETHEUS_URL, "Alertmanager": settings.ALERTMANAGER_URL}
    asked = {name: url for name, url in monitors.items() if url}
    silent = silent_among(asked)
    if len(silent) == 2:
        return "neither Prometheus nor Alertmanager answers (PROMETHEUS_URL, ALERTMANAGER_URL)."
    if silent:
        return f"{silent[0]} does not answer ({silent[0].upper()}_URL)."
    not_asked = "".join(
        f" {name} was not asked: {name.upper()}_URL is empty." for name in monitors if name not in asked
    )
    if status.ended_at is not None:
        return f"Prometheus no longer reaches Alertmanager. {CHECK_BEFORE_ALERTMANAGER}{not_asked}"
    answered = f"{' and '.join(asked)} answered. " if asked else ""
    return f"{answered}{CHECK_CONNECTION}{not_asked}"


def silent_among(urls: Mapping[str, str]) -> list[str]:
    """Returns the names of those that do not answer. All are asked at the same time."""
    if not urls:
        return []
    with ThreadPoolExecutor(len(urls)) as pool:
        answered = list(pool.map(is_healthy, urls, urls.values()))
    return [name for name, answers in zip(urls, answered, strict=True) if not answers]


def is_healthy(name: str, url: str) -> bool:
    """Whether the server `name` at `url` answers `/-/healthy` with 200 within HEALTH_CHECK_SECONDS."""
    try:
        answer = send(
            "GET",
            f"{url}/-/healthy",
            body=b"",
            headers=prometheus_headers() if name == "Prometheus" else {},
            seconds=HEALTH_CHECK_SECONDS,
            limit_bytes=LONGEST_HEALTH_ANSWER,
            beginning_is_enough=True,
            by_proxy=False,
        )
    except DeliveryError as problem:
        log.warning("monitor_health_check_failed", error=type(problem).__name__)
        return False
    return answer.status == HTTPStatus.OK
