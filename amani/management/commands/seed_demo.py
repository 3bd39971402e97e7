"""`manage.py seed_demo`: demo operators, alerts, people and their KYC cases, in development only."""

from __future__ import annotations

import secrets
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.contrib.auth.models import Group
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from accounts.models import User
from accounts.operators import vouch
from kyc.demo import Team, seed_cases
from observability.demo import seed_alerts

# The address of each but the first begins with the role: kyc-demo@…
OPERATORS = {
    "responder": ("", "Dede Demo"),
    "viewer": ("viewer-", "Vera Viewer"),
    "kyc reviewer": ("kyc-", "Rita Reviewer"),
    "finance": ("finance-", "Finn Finance"),
    "approver": ("approver-", "Ada Approver"),
}


class Command(BaseCommand):
    help = "Make a demo operator of each role, alerts, people and cases, once. Refuses unless DEBUG is on."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--email", default="demo@amani.local", help="The responder's login.")
        parser.add_argument("--password", default="", help="For all; made and printed if not given.")

    @transaction.atomic
    def handle(self, *_: Any, email: str, password: str, **options: Any) -> None:
        if not settings.DEBUG:
            raise CommandError("Demo logins exist in development only: DEBUG is off.")
        is_new = not User.objects.filter(email=email).exists()
        if is_new and not password:
            password = secrets.token_urlsafe(12)
            self.stdout.write(f"{email}  {password}")
        team = ensure_operators(email, password)
        if is_new:
            seed_alerts(team["responder"])
        seed_cases(Team(reviewer=team["kyc reviewer"], approver=team["approver"]))


def ensure_operators(email: str, password: str) -> dict[str, User]:
    """An operator of each role. A password that is given becomes everybody's, also if they exist.

    Only the first one's is hashed or compared, which takes a noticeable part of a second; the others get
    the same hash.
    """
    team: dict[str, User] = {}
    for role, (prefix, full_name) in OPERATORS.items():
        team[role] = ensure_operator(f"{prefix}{email}", full_name, role)
    first = team["responder"]
    if password and not first.check_password(password):
        first.set_password(password)
    for user in team.values():
        user.password = first.password
        user.save(update_fields=["password"])
    return team


def ensure_operator(email: str, full_name: str, role: str) -> User:
    user = User.objects.filter(email=email).first()
    if user is None:
        user = User.objects.create_user(email, full_name=full_name, is_staff=True)
        user.groups.add(Group.objects.get(name=role))
        vouch(user=user)
    return user
