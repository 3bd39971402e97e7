"""Listens for the Watchdog, the alert that always fires: when it stays away, alerts no longer arrive.

Its silence is counted in time during which Amani was watching, so that a Watchdog that is old only because
Amani did not run pages nobody. A gap in the watch counts for at most LONGEST_GAP, so a worker that is
restarted again and again postpones the alert but cannot prevent it.

Alertmanager repeats the Watchdog for up to four minutes after Prometheus has gone, and then reports its end.
That report is taken as silence at once: waiting for WATCHDOG_TIMEOUT_SECONDS on top would be too late.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta

import requests
import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import F
from urllib3.exceptions import HTTPError

from observability.models import Heartbeat
from observability.notifiers.connection import Deadline, GuardedAdapter

LONGEST_GAP = timedelta(seconds=30)  # the watch comes every 10 seconds
ASK_SECONDS = 2.0

CHECK_BEFORE_ALERTMANAGER = (
    "Check that Prometheus runs, its rule Watchdog, and Alertmanager's address in prometheus.yml."
)
CHECK_THE_WAY = (
    "Check the way between them and Amani: the rule Watchdog, its route in alertmanager.yml, the webhook's "
    "address and its token."
)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Hearing:
    """What is known of the Watchdog. `silence` leaves out the time in which Amani did not run."""

    last_seen_at: datetime | None
    ended_at: datetime | None
    silence: timedelta
    watching_for: timedelta

    @property
    def is_heard(self) -> bool:
        return self.last_seen_at is not None and self.ended_at is None and self.silence <= timeout()

    @property
    def is_overdue(self) -> bool:
        """Neither heard nor overdue: it is awaited, after an installation or a pause."""
        if self.ended_at is not None and self.watching_for > timeout() / 2:
            return True
        if self.last_seen_at is not None:
            return self.silence > timeout()
        limit = settings.WATCHDOG_FIRST_TIMEOUT_SECONDS
        return limit > 0 and self.silence > timedelta(seconds=limit)


def timeout() -> timedelta:
    return timedelta(seconds=settings.WATCHDOG_TIMEOUT_SECONDS)


def listen(now: datetime) -> Hearing:
    """Notes the worker's own sign of life, adds the time it has watched, and returns what is known."""
    watched, watching_since = keep_watch(now)
    Heartbeat.objects.get_or_create(name=Heartbeat.WATCHDOG, defaults={"last_seen_at": None})
    row = Heartbeat.objects.filter(pk=Heartbeat.WATCHDOG)
    row.update(silent_seconds=F("silent_seconds") + watched.total_seconds())
    return hearing(row.get(), now, watching_since)


@transaction.atomic
def keep_watch(now: datetime) -> tuple[timedelta, datetime]:
    """(how much of the time since the last look was watched, since when there was no long gap)."""
    row, is_new = Heartbeat.objects.select_for_update().get_or_create(
        name=Heartbeat.WORKER, defaults={"last_seen_at": now, "watching_since": now}
    )
    gap = timedelta() if is_new or row.last_seen_at is None else max(now - row.last_seen_at, timedelta())
    row.last_seen_at = now
    if row.watching_since is None or gap > LONGEST_GAP:
        row.watching_since = now
    row.save(update_fields=["last_seen_at", "watching_since"])
    return min(gap, LONGEST_GAP), row.watching_since


def hearing(row: Heartbeat, now: datetime, watching_since: datetime) -> Hearing:
    silence = timedelta(seconds=row.silent_seconds)
    if row.last_seen_at is not None:  # the whole of a look counts, also where the Watchdog came within it
        silence = min(silence, max(now - row.last_seen_at, timedelta()))
    return Hearing(row.last_seen_at, row.ended_at, silence, now - watching_since)


# --- Which part it is ---


def explain(heard: Hearing) -> str:
    """The summary of the alert: since when, and which part to look at. Takes ASK_SECONDS at most."""
    if heard.last_seen_at is None:
        since = "No Watchdog has ever arrived"
    else:
        since = f"No Watchdog since {heard.last_seen_at:%Y-%m-%d %H:%M} UTC"
    return f"{since}: {suspect(heard)} Alerts may not arrive."


def suspect(heard: Hearing) -> str:
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
    if heard.ended_at is not None:
        return f"Alertmanager hears nothing from Prometheus. {CHECK_BEFORE_ALERTMANAGER}{not_asked}"
    answered = f"{' and '.join(asked)} answered. " if asked else ""
    return f"{answered}{CHECK_THE_WAY}{not_asked}"


def silent_among(urls: Mapping[str, str]) -> list[str]:
    """The names of those that do not answer, all asked at the same time."""
    if not urls:
        return []
    with ThreadPoolExecutor(len(urls)) as pool:
        answered = list(pool.map(is_healthy, urls.values()))
    return [name for name, answers in zip(urls, answered, strict=True) if not answers]


def is_healthy(url: str) -> bool:
    """Whether the server at `url` answers `/-/healthy` with 200 within ASK_SECONDS."""
    try:
        with Deadline(ASK_SECONDS) as deadline, requests.Session() as session:
            session.trust_env = False  # it is ours: no proxy in between, no password from ~/.netrc
            for scheme in ("http://", "https://"):
                session.mount(scheme, GuardedAdapter(max_retries=0))
            answer = session.get(f"{url}/-/healthy", timeout=ASK_SECONDS, allow_redirects=False, stream=True)
            with answer:
                return answer.status_code == 200 and not deadline.passed
    except (requests.RequestException, HTTPError, OSError, UnicodeError) as problem:
        log.warning("monitor_not_healthy", error=type(problem).__name__)
        return False
