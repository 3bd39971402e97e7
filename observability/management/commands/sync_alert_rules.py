"""`manage.py sync_alert_rules`: reads the shipped rule files into the database. `migrate` does it as well."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from core.commands import ReportingCommand
from observability.alerts.errors import RuleFileWrong
from observability.rules.files import SHIPPED
from observability.rules.sync import sync_rules


class Command(ReportingCommand):
    help = "Make the rules in the admin what the rule files of Prometheus say."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--folder", type=Path, default=SHIPPED, help="where the rule files are")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            done = sync_rules(options["folder"])
        except RuleFileWrong as problem:
            raise CommandError(str(problem)) from problem
        self.report(
            options,
            done._asdict(),
            f"{done.added} added, {done.changed} changed, "
            f"{done.removed} removed, {done.unchanged} unchanged.",
        )
