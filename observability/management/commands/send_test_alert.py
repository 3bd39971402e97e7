"""`manage.py send_test_alert`: sends a test message through the outbox and prints each delivery's outcome."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError

from core.commands import ReportingCommand
from core.pooling import NoSessions
from observability.alerts.drill import send_test_alert
from observability.models import Delivery
from observability.notifiers import registry


class Command(ReportingCommand):
    help = (
        "Send a TEST alert to one channel, or to all that are on; exits with 1 unless every delivery arrived."
    )

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
        channels = channels_named(options["channel"])
        try:
            deliveries = send_test_alert(
                channels=channels, severity=options["severity"], wait_seconds=options["wait"]
            )
        except NoSessions as problem:
            raise CommandError(str(problem)) from None
        undelivered = [each.channel for each in deliveries if each.state != Delivery.State.DELIVERED]
        facts = {
            "alert": deliveries[0].episode_id,
            "delivered": not undelivered,
            "deliveries": [
                {"channel": each.channel, "state": each.state, "reason": each.reason} for each in deliveries
            ],
        }
        off = set(registry.NOTIFIERS) - set(channels) if options["channel"] == "all" else set()
        lines = [*map(self.line_of, deliveries), *(f"{name:<10} off, not tried" for name in sorted(off))]
        self.report(options, facts, *lines)
        if undelivered:
            raise CommandError(f"Not delivered: {', '.join(undelivered)}.", returncode=1)

    def line_of(self, delivery: Delivery) -> str:
        style = self.style.SUCCESS if delivery.state == Delivery.State.DELIVERED else self.style.ERROR
        reason = f": {delivery.reason}" if delivery.reason else ""
        return style(f"{delivery.channel:<10} {delivery.get_state_display()}{reason}")


def channels_named(name: str) -> list[str]:
    """Returns the channel, or for `all` those that are on. Raises CommandError when none is."""
    if name != "all":
        return [name]
    on = [notifier.name for notifier in registry.configured()]
    if not on:
        raise CommandError(f"No channel is on. Set {registry.how_to_switch_on(registry.NOTIFIERS.values())}.")
    return on
