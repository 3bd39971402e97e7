"""`manage.py alert_rules export | diff | seed`: the rules as they should run, as files."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from core.commands import ReportingCommand
from observability.alerts.errors import RuleFileWrong
from observability.rules.publication import in_git
from observability.rules.publication.errors import NotPublished, TryLater
from observability.rules.publication.seeding import seed


class Command(ReportingCommand):
    help = "Show the alert rules as they should run, compare them with files, or write the first file."

    def add_arguments(self, parser: ArgumentParser) -> None:
        does = parser.add_subparsers(dest="does", required=True, metavar="export | diff | seed")
        export = does.add_parser("export", help="print them as one rule file, or write it into a folder")
        export.add_argument("--folder", type=Path, help="where amani.yml is written")
        compare = does.add_parser("diff", help="what they would change in the rule files of a folder")
        compare.add_argument("folder", type=Path)
        does.add_parser("seed", help="write ALERT_RULES_FOLDER/amani.yml if there is none")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            getattr(self, options["does"])(options)
        except (RuleFileWrong, NotPublished, TryLater) as problem:
            raise CommandError(str(problem)) from problem

    def export(self, options: dict[str, Any]) -> None:
        text = in_git.export(options["folder"])
        written = f"Written into {options['folder']}." if options["folder"] else text.rstrip("\n")
        self.report(options, {"rules": text}, written)

    def diff(self, options: dict[str, Any]) -> None:
        parts = in_git.differences(options["folder"])
        self.report(options, {"differs": [part.about for part in parts]}, in_git.in_words(parts))

    def seed(self, options: dict[str, Any]) -> None:
        version = seed()
        text = f"Version {version.number} is in place." if version else "There was nothing to write."
        self.report(options, {"version": version.number if version else None}, text)
