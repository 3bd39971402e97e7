"""`manage.py seed_demo`: creates demo operators, alerts, users, cases and escrows, in development only."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from amani.demo import NotInDevelopment, seed_demo
from core.commands import ReportingCommand


class Command(ReportingCommand):
    help = "Create a demo operator of each role, alerts, users, cases and escrows, once. Requires DEBUG."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--email", default="demo@amani.local", help="E-mail address of the responder.")
        parser.add_argument("--password", default="", help="For all; generated and printed if not given.")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            done = seed_demo(email=options["email"], password=options["password"])
        except NotInDevelopment as refusal:
            raise CommandError(str(refusal)) from refusal
        lines = [f"{done.email}  {done.new_password}"] if done.new_password else []
        self.report(options, done._asdict(), *lines)
