"""Commands that report: in lines for people, or in one JSON document for programs."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from collections.abc import Mapping
from typing import Any

from django.core.management.base import BaseCommand


class ReportingCommand(BaseCommand):
    """A command with `--json`: standard output is then one JSON document and nothing else.

    `handle` parses, calls one function and hands what it returned to `report`. A command that did not reach
    its aim reports first and raises CommandError afterwards: the exit code says that it failed, standard
    error says why.
    """

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> Any:
        parser: ArgumentParser = super().create_parser(prog_name, subcommand, **kwargs)
        parser.add_argument("--json", action="store_true", help="report as one JSON document")
        return parser

    def report(self, options: Mapping[str, Any], facts: Mapping[str, Any], *lines: str) -> None:
        """Write `facts` as JSON if `--json` was given, else `lines`."""
        written = [json.dumps(facts, default=str)] if options["json"] else lines
        for line in written:
            self.stdout.write(line)
