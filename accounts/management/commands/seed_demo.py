"""`manage.py seed_demo`: demo operators and alerts, in development only."""

from __future__ import annotations

import secrets
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.contrib.auth.models import Group
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from accounts.models import User
from observability.demo import seed_alerts


class Command(BaseCommand):
    help = "Make a demo responder, a demo viewer and demo alerts, once. Refuses unless DEBUG is on."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--email", default="demo@amani.local", help="The responder's login.")
        parser.add_argument("--password", default="", help="For both; made and printed if not given.")

    @transaction.atomic
    def handle(self, *_: Any, email: str, password: str, **options: Any) -> None:
        if not settings.DEBUG:
            raise CommandError("Demo logins exist in development only: DEBUG is off.")
        is_new = not User.objects.filter(email=email).exists()
        if is_new and not password:
            password = secrets.token_urlsafe(12)
            self.stdout.write(f"{email}  {password}")
        responder = ensure_operator(email, "Dede Demo", "responder", password)
        ensure_operator(f"viewer-{email}", "Vera Viewer", "viewer", password)
        if is_new:
            seed_alerts(responder)


def ensure_operator(email: str, full_name: str, role: str, password: str) -> User:
    """The operator with that role. A password that is given becomes theirs, also if they exist."""
    user = User.objects.filter(email=email).first()
    if user is None:
        user = User.objects.create_user(email, password, full_name=full_name, is_staff=True)
        user.groups.add(Group.objects.get(name=role))
    elif password and not user.check_password(password):
        user.set_password(password)
        user.save(update_fields=["password"])
    return user
