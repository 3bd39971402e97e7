"""`manage.py prune_alert_history --older-than 180d`: deletes old alerts, messages, receipts and silences."""

from __future__ import annotations

import re
from argparse import ArgumentParser, ArgumentTypeError
from datetime import timedelta
from typing import Any

from django.utils import timezone

from core.commands import ReportingCommand
from observability.alerts.pruning import BATCH, prune_history

UNITS = {"h": "hours", "d": "days", "w": "weeks"}


class Command(ReportingCommand):
    help = (
        "Delete ended alerts, messages, receipts and silences older than an age. What fires or waits is kept."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--older-than", type=age, required=True, metavar="180d")
        parser.add_argument("--batch", type=int, default=BATCH, help="alerts in one transaction")

    def handle(self, *args: Any, **options: Any) -> None:
        done = prune_history(before=timezone.now() - options["older_than"], batch=options["batch"])
        self.report(
            options,
            done._asdict(),
            f"Deleted {done.episodes} alerts, {done.digests} digests, {done.receipts} receipts and "
            f"{done.silences} silences from before {done.before:%Y-%m-%d %H:%M} UTC.",
        )


def age(text: str) -> timedelta:
    """Read `180d`, `12w` or `36h`. Raises ArgumentTypeError for everything else."""
    match = re.fullmatch(r"(\d{1,5})([hdw])", text)
    if match is None or int(match[1]) == 0:
        raise ArgumentTypeError(f"{text!r} is not an age: write 180d, 12w or 36h.")
    return timedelta(**{UNITS[match[2]]: int(match[1])})
