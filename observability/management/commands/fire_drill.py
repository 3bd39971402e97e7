"""Sends a TEST alert the long way round and prints the time of each hop.

This command → Alertmanager's API → the webhook → the outbox → Slack and PagerDuty, then the resolve.
"""

from __future__ import annotations

import time
import uuid
from argparse import ArgumentParser
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import requests
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from observability.models import Delivery, Episode

ALERTNAME = "FireDrill"
POLL_SECONDS = 0.1
T = TypeVar("T")


class Command(BaseCommand):
    help = "Drill the whole alert loop with a TEST alert; exits with 1 if a hop is missing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--severity", choices=settings.SEVERITIES, default="critical")
        parser.add_argument("--timeout", type=float, default=120.0, help="seconds for each hop (default 120)")

    def handle(self, *args: Any, **options: Any) -> None:
        drill = f"drill-{uuid.uuid4().hex[:12]}"
        began = time.monotonic()
        starts_at = datetime.now(UTC)
        self.post(drill, options["severity"], starts_at, ends_at=None)
        self.hop(began, "Alertmanager took the alert")
        episode = self.wait(options["timeout"], "the webhook", lambda: find(drill))
        self.hop(began, f"Amani stored it as alert {episode.pk}")
        self.follow(began, options["timeout"], episode, Delivery.Kind.TRIGGER)
        self.post(drill, options["severity"], starts_at, ends_at=datetime.now(UTC))
        self.hop(began, "Alertmanager took the resolve; it tells of it at the group's next group_interval")
        self.wait(options["timeout"], "the resolve", lambda: find(drill, Episode.Status.RESOLVED))
        self.hop(began, "Amani stored the resolve")
        self.follow(began, options["timeout"], episode, Delivery.Kind.RESOLVE)
        self.conclude(episode)

    def post(self, drill: str, severity: str, starts_at: datetime, *, ends_at: datetime | None) -> None:
        """Alertmanager API v2, POST /api/v2/alerts. An end in the past resolves the alert."""
        alert = {
            "labels": {
                "alertname": ALERTNAME,
                "drill": drill,
                "severity": severity,
                "service": "amani",
                "test": "true",
            },
            "annotations": {"summary": f"TEST: fire drill {drill}", "description": "Nothing is wrong."},
            "startsAt": starts_at.isoformat(),
            "endsAt": (ends_at or starts_at + timedelta(hours=1)).isoformat(),
        }
        url = f"{settings.ALERTMANAGER_URL}/api/v2/alerts"
        try:
            response = requests.post(url, json=[alert], timeout=5, allow_redirects=False)
            response.raise_for_status()
        except requests.RequestException as problem:
            raise CommandError(f"Alertmanager at {url} did not take the alert: {problem}") from problem

    def follow(self, began: float, timeout: float, episode: Episode, kind: Delivery.Kind) -> None:
        """Prints each delivery of `kind` when it has ended."""
        left = set(episode.deliveries.filter(kind=kind).values_list("pk", flat=True))
        while left:
            ended = self.wait(timeout, "the deliveries", lambda: finished(left))
            for delivery in ended:
                left.discard(delivery.pk)
                reason = f": {delivery.reason}" if delivery.reason else ""
                self.hop(began, f"{delivery.channel} {kind}: {delivery.get_state_display()}{reason}")

    def conclude(self, episode: Episode) -> None:
        wrong = episode.deliveries.exclude(state=Delivery.State.DELIVERED)
        if wrong.exists() or not episode.deliveries.exists():
            raise CommandError("The drill did not reach everybody it should have; see the lines above.")
        self.stdout.write(self.style.SUCCESS("The loop is closed: alert and resolve reached every channel."))

    def wait(self, timeout: float, what: str, look: Callable[[], T | None]) -> T:
        until = time.monotonic() + timeout
        while time.monotonic() < until:
            found = look()
            if found:
                return found
            time.sleep(POLL_SECONDS)
        raise CommandError(f"No sign of {what} after {timeout:.0f} s.")

    def hop(self, began: float, text: str) -> None:
        self.stdout.write(f"{time.monotonic() - began:8.2f} s  {text}")


def find(drill: str, status: str | None = None) -> Episode | None:
    episodes = Episode.objects.filter(alertname=ALERTNAME, labels__drill=drill)
    return (episodes.filter(status=status) if status else episodes).first()


def finished(deliveries: set[int]) -> list[Delivery]:
    return list(Delivery.objects.filter(pk__in=deliveries).exclude(state__in=Delivery.UNFINISHED))
