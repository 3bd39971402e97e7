"""Sends TEST alerts to check notifications: through the outbox only, or through the whole alert loop.

The whole loop: Alertmanager's API → the webhook → the outbox → the channels, then the same for the resolve.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, TypeVar

import requests
from django.conf import settings

from core.pooling import require_sessions
from observability.alerts.delivery import drain
from observability.alerts.errors import DrillFailed
from observability.alerts.messages import send_alert
from observability.models import Delivery, Episode

ALERTNAME = "FireDrill"
POLL_SECONDS = 0.1
T = TypeVar("T")


def send_test_alert(*, channels: Iterable[str], severity: str, wait_seconds: float | None) -> list[Delivery]:
    """Sends a TEST message through the outbox to each of `channels` and returns its deliveries, by channel.

    `wait_seconds`: how long the worker has to deliver; None: deliver here, without the worker. Raises
    NoSessions, before anything is stored, if the database connection does not allow that.
    """
    if wait_seconds is None:
        require_sessions("send_test_alert without --wait")
    wanted = list(channels)
    episode = send_alert(
        f"TEST alert from Amani ({settings.ENVIRONMENT})",
        severity=severity,
        context={"test": "true"},
        channels=wanted,
    )
    if wait_seconds is None:
        for channel in wanted:
            drain(channel)
    else:
        wait_for(wait_seconds, lambda: not unfinished(episode))
    return list(episode.deliveries.order_by("channel"))


def unfinished(episode: Episode) -> bool:
    return episode.deliveries.filter(state__in=Delivery.UNFINISHED).exists()


class Hop(NamedTuple):
    """One step of the drill: seconds since its start, and what has happened."""

    seconds: float
    what: str


class Drill:
    """Sends one TEST alert through the whole loop.

    `on_hop` is called at each step; `hops` keeps the steps.
    """

    def __init__(
        self, *, severity: str, timeout_seconds: float, on_hop: Callable[[Hop], None] = lambda hop: None
    ) -> None:
        self.name = f"drill-{uuid.uuid4().hex[:12]}"
        self.severity = severity
        self.timeout_seconds = timeout_seconds  # for each hop
        self.on_hop = on_hop
        self.hops: list[Hop] = []
        self.began = time.monotonic()
        self.starts_at = datetime.now(UTC)

    def run(self) -> None:
        """Fires and resolves the alert. Raises DrillFailed when a hop is missing or a delivery failed."""
        self.post(ends_at=None)
        self.passed("Alertmanager accepted the alert")
        episode = self.wait("the webhook", self.find)
        self.passed(f"Amani stored it as alert {episode.pk}")
        self.follow(episode, Delivery.Kind.TRIGGER)
        self.post(ends_at=datetime.now(UTC))
        self.passed("Alertmanager accepted the resolve; it sends it at the group's next group_interval")
        self.wait("the resolve", lambda: self.find(status=Episode.Status.RESOLVED))
        self.passed("Amani stored the resolve")
        self.follow(episode, Delivery.Kind.RESOLVE)
        wrong = episode.deliveries.exclude(state=Delivery.State.DELIVERED)
        if wrong.exists() or not episode.deliveries.exists():
            raise DrillFailed("Not every delivery of the drill arrived: see its hops.")

    def post(self, *, ends_at: datetime | None) -> None:
        """Posts the alert to Alertmanager's API v2. An end in the past resolves it."""
        alert = {
            "labels": {
                "alertname": ALERTNAME,
                "drill": self.name,
                "severity": self.severity,
                "service": "amani",
                "test": "true",
            },
            "annotations": {"summary": f"TEST: fire drill {self.name}", "description": "Nothing is wrong."},
            "startsAt": self.starts_at.isoformat(),
            "endsAt": (ends_at or self.starts_at + timedelta(hours=1)).isoformat(),
        }
        url = f"{settings.ALERTMANAGER_URL}/api/v2/alerts"
        try:
            response = requests.post(url, json=[alert], timeout=5, allow_redirects=False)
            response.raise_for_status()
        except requests.RequestException as problem:
            raise DrillFailed(f"Alertmanager at {url} did not accept the alert: {problem}") from problem

    def find(self, **state: str) -> Episode | None:
        return Episode.objects.filter(alertname=ALERTNAME, labels__drill=self.name, **state).first()

    def follow(self, episode: Episode, kind: Delivery.Kind) -> None:
        """Waits until each delivery of `kind` has ended."""
        left = set(episode.deliveries.filter(kind=kind).values_list("pk", flat=True))
        while left:
            for delivery in self.wait("the deliveries", lambda: ended(left)):
                left.discard(delivery.pk)
                reason = f": {delivery.reason}" if delivery.reason else ""
                self.passed(f"{delivery.channel} {kind}: {delivery.get_state_display()}{reason}")

    def passed(self, what: str) -> None:
        hop = Hop(round(time.monotonic() - self.began, 2), what)
        self.hops.append(hop)
        self.on_hop(hop)

    def wait(self, what: str, look: Callable[[], T | None]) -> T:
        found = wait_for(self.timeout_seconds, look)
        if not found:
            raise DrillFailed(f"No sign of {what} after {self.timeout_seconds:.0f} s.")
        return found


def ended(deliveries: set[int]) -> list[Delivery]:
    return list(Delivery.objects.filter(pk__in=deliveries).exclude(state__in=Delivery.UNFINISHED))


def wait_for(seconds: float, look: Callable[[], T | None]) -> T | None:
    """Calls `look` until it finds something. Returns that, or None after `seconds`."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found = look()
        if found:
            return found
        time.sleep(POLL_SECONDS)
    return None
