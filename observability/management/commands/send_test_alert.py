"""Sends a test message through the outbox and prints what became of each delivery."""

from __future__ import annotations

import time
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from observability.alerts import send_alert
from observability.alerts.delivery import drain
from observability.models import Delivery, Episode
from observability.notifiers import registry

POLL_SECONDS = 0.2


class Command(BaseCommand):
    help = "Send a TEST alert to Slack, PagerDuty or both; exits with 1 unless every delivery arrived."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--channel", choices=[*registry.NOTIFIERS, "all"], default="all")
        parser.add_argument("--severity", choices=settings.SEVERITIES, default="info")
        parser.add_argument(
            "--wait",
            nargs="?",
            type=float,
            const=60.0,
            metavar="SECONDS",
            help="let the worker deliver and wait for it (default 60); without, this command delivers",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        channels = list(registry.NOTIFIERS) if options["channel"] == "all" else [options["channel"]]
        episode = send_alert(
            f"TEST alert from Amani ({settings.ENVIRONMENT})",
            severity=options["severity"],
            context={"test": "true"},
            channels=channels,
        )
        if options["wait"] is None:
            for channel in channels:
                drain(channel)
        else:
            wait_for_deliveries(episode, options["wait"])
        self.report(episode)

    def report(self, episode: Episode) -> None:
        deliveries = list(episode.deliveries.order_by("channel"))
        for delivery in deliveries:
            style = self.style.SUCCESS if delivery.state == Delivery.State.DELIVERED else self.style.ERROR
            reason = f": {delivery.reason}" if delivery.reason else ""
            self.stdout.write(style(f"{delivery.channel:<10} {delivery.get_state_display()}{reason}"))
        undelivered = [each.channel for each in deliveries if each.state != Delivery.State.DELIVERED]
        if undelivered:
            raise CommandError(f"Not delivered: {', '.join(undelivered)}.", returncode=1)


def wait_for_deliveries(episode: Episode, seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if not episode.deliveries.filter(state__in=Delivery.UNFINISHED).exists():
            return
        time.sleep(POLL_SECONDS)
