"""`manage.py fire_drill`: sends a TEST alert the whole way round and prints the time of each hop."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError

from core.commands import ReportingCommand
from observability.alerts.drill import Drill, Hop
from observability.alerts.errors import DrillFailed

CLOSED = "The loop is closed: alert and resolve reached every channel."


class Command(ReportingCommand):
    help = "Drill the whole alert loop with a TEST alert; exits with 1 if a hop is missing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--severity", choices=settings.SEVERITIES, default="critical")
        parser.add_argument("--timeout", type=float, default=120.0, help="seconds for each hop (default 120)")

    def handle(self, *args: Any, **options: Any) -> None:
        drill = Drill(
            severity=options["severity"],
            timeout_seconds=options["timeout"],
            on_hop=lambda hop: None if options["json"] else self.show(hop),
        )
        problem = ""
        try:
            drill.run()
        except DrillFailed as failure:
            problem = str(failure)
        facts = {
            "drill": drill.name,
            "passed": not problem,
            "problem": problem,
            "hops": [hop._asdict() for hop in drill.hops],
        }
        self.report(options, facts, *([] if problem else [self.style.SUCCESS(CLOSED)]))
        if problem:
            raise CommandError(problem)

    def show(self, hop: Hop) -> None:
        self.stdout.write(f"{hop.seconds:8.2f} s  {hop.what}")
