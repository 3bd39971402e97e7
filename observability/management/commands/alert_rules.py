"""`manage.py alert_rules export | import | diff | seed`: the rules as they should run, as files."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from core.commands import ReportingCommand
from core.errors import AmaniError
from observability.alerts.errors import CannotImport, MayNotTune
from observability.rules.changing import operator_named
from observability.rules.importing import Imported, Step, import_rules
from observability.rules.publication import in_git, is_on
from observability.rules.publication.errors import NotPublished, TryLater
from observability.rules.publication.seeding import seed

IMPORTS = (
    "Shipped rules get what can be tuned: threshold, for, keep_firing_for, severity, more labels, runbook; "
    "one that no file has is disabled. The group `operators` becomes that of the files. If the rules that "
    "should run are not those of the files afterwards, nothing is stored, and each difference is named."
)


class Command(ReportingCommand):
    help = "The alert rules as they should run: show them, take them from files, compare them with files."

    def add_arguments(self, parser: ArgumentParser) -> None:
        does = parser.add_subparsers(dest="does", required=True, metavar="export | import | diff | seed")
        export = does.add_parser("export", help="print them as one rule file, or write it into a folder")
        export.add_argument("--folder", type=Path, help="where amani.yml is written")
        taking = does.add_parser(
            "import",
            help="tune, disable, add and end rules until they are those of a folder",
            description=IMPORTS,
        )
        taking.add_argument("folder", type=Path, help="has rule files of Prometheus, *.yml")
        taking.add_argument("--reason", required=True, help="why; each change keeps it")
        taking.add_argument("--as", required=True, dest="user", metavar="EMAIL", help="who may tune rules")
        ends = taking.add_mutually_exclusive_group()
        ends.add_argument("--dry-run", action="store_true", help="say what would change, and store nothing")
        ends.add_argument("--publish", action="store_true", help="also have the worker publish the rules")
        compare = does.add_parser("diff", help="what they would change in the rule files of a folder")
        compare.add_argument("folder", type=Path)
        does.add_parser("seed", help="write ALERT_RULES_FOLDER/amani.yml if there is none")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            getattr(self, f"do_{options['does']}")(options)
        except (AmaniError, NotPublished, TryLater) as problem:
            raise CommandError(str(problem)) from problem

    def do_export(self, options: dict[str, Any]) -> None:
        text = in_git.export(options["folder"])
        written = f"Written into {options['folder']}." if options["folder"] else text.rstrip("\n")
        self.report(options, {"rules": text}, written)

    def do_import(self, options: dict[str, Any]) -> None:
        is_dry = options["dry_run"]
        try:
            done = import_rules(
                options["folder"],
                actor=operator_named(options["user"]),
                reason=options["reason"],
                is_dry=is_dry,
                publishing=options["publish"],
            )
        except MayNotTune as refused:
            raise CommandError(f"{options['user']} may not change alert rules: an approver may.") from refused
        except CannotImport as refused:
            self.report(options, {"stored": False, "problems": refused.problems}, *refused.problems)
            raise CommandError(refused.summary) from refused
        self.report(options, facts_of(done, is_dry=is_dry), *lines_of(done, is_dry=is_dry))

    def do_diff(self, options: dict[str, Any]) -> None:
        parts = in_git.differences(options["folder"])
        self.report(options, {"differs": [part.about for part in parts]}, in_git.in_words(parts))

    def do_seed(self, options: dict[str, Any]) -> None:
        version = seed()
        text = f"Version {version.number} is in place." if version else "There was nothing to write."
        self.report(options, {"version": version.number if version else None}, text)


# --- What an import changed ---


def facts_of(done: Imported, *, is_dry: bool) -> dict[str, Any]:
    return {
        "stored": not is_dry,
        "changes": [
            {
                "group": step.group,
                "rule": step.key,
                "what": step.what,
                "differences": [line._asdict() for line in step.lines],
            }
            for step in done.steps
        ],
        "warnings": [str(warning) for warning in done.warnings],
        "version": done.version.number if done.version else None,
    }


def lines_of(done: Imported, *, is_dry: bool) -> Iterator[str]:
    for step in done.steps:
        yield f"{step.group}: {step.key}: {step.what}"
        yield from differences_of(step)
    for warning in done.warnings:
        yield f"Warning: {warning}"
    yield f"{ending(len(done.steps), is_dry=is_dry)} {publishing(done, is_dry=is_dry)}".rstrip()


def differences_of(step: Step) -> Iterator[str]:
    for line in step.lines:
        before, after = (" ".join(text.split()) for text in (line.before, line.after))
        yield f"  {line.what}: {before} → {after}" if step.row else f"  {line.what}: {after}"


def ending(count: int, *, is_dry: bool) -> str:
    if not count:
        return "Nothing differs."
    rules = "1 rule" if count == 1 else f"{count} rules"
    return f"{rules} would change. Nothing was stored." if is_dry else f"Changed: {rules}."


def publishing(done: Imported, *, is_dry: bool) -> str:
    """Returns what brings the change to Prometheus."""
    if done.version is not None:
        return f"The worker publishes them as version {done.version.number}."
    if is_dry or not done.steps:
        return ""
    if is_on():
        return "Publish them on the page Versions of the rules, so that Prometheus has them."
    return "Amani publishes no rules here: give Prometheus the file that `alert_rules export` prints."
