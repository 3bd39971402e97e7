"""Creates the demo data of `make run`, in development only: operators, alerts, users, cases and escrows."""

from __future__ import annotations

import secrets
from typing import NamedTuple

from django.conf import settings
from django.contrib.auth.models import Group
from django.db import transaction

from accounts.models import User
from accounts.operators import verify_address
from core.errors import Conflict
from escrow.demo import seed_escrows
from kyc.demo import Team, seed_cases
from observability.demo import seed_alerts

# Prefix of the e-mail address and full name for each role: kyc-demo@…
OPERATORS = {
    "responder": ("", "Dede Demo"),
    "viewer": ("viewer-", "Vera Viewer"),
    "kyc reviewer": ("kyc-", "Rita Reviewer"),
    "finance": ("finance-", "Finn Finance"),
    "approver": ("approver-", "Ada Approver"),
}


class Seeded(NamedTuple):
    """The first operator's login. `new_password`: the generated password, else empty."""

    email: str
    new_password: str


class NotInDevelopment(Conflict):
    code = "not_in_development"


def seed_demo(*, email: str, password: str = "") -> Seeded:
    """Creates the demo's users and rows, once.

    `email` is the responder's address. `password` is for all operators; if it is empty, one is generated for
    new operators. Raises NotInDevelopment while DEBUG is off.
    """
    if not settings.DEBUG:
        raise NotInDevelopment("Demo logins exist in development only: DEBUG is off.")
    seeded = seed_people(email, password)
    seed_escrows()  # in no transaction, because it asks the sandbox bank
    return seeded


@transaction.atomic
def seed_people(email: str, password: str) -> Seeded:
    is_new = not User.objects.filter(email=email).exists()
    new_password = secrets.token_urlsafe(12) if is_new and not password else ""
    team = ensure_operators(email, password or new_password)
    if is_new:
        seed_alerts(team["responder"])
    seed_cases(Team(reviewer=team["kyc reviewer"], approver=team["approver"]))
    return Seeded(email, new_password)


def ensure_operators(email: str, password: str) -> dict[str, User]:
    """Returns an operator of each role. A given password is set for all of them, also for existing ones.

    The password is hashed or compared for the first operator only, because that takes a noticeable part of a
    second; the others get the same hash.
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
        verify_address(user=user)
    return user
