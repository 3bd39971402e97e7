"""Everything that Amani knows about a person, for that person. Each app adds what it keeps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.utils import timezone

from accounts.models import User

Collect = Callable[[User], Any]

collectors: dict[str, Collect] = {}


def register(*, name: str, collect: Collect) -> None:
    """`collect(person)` gives what an app keeps about the person, as JSON would show it; `name` is its key.

    Called from an app's `ready()`. Dates may stay dates. Never other people's data, never secrets.
    """
    collectors[name] = collect


def export_account(person: User) -> dict[str, Any]:
    """The account, how the person signs in, and a part for each registered collector."""
    return {
        "exported_at": timezone.now(),
        "account": account(person),
        "email_addresses": list(
            EmailAddress.objects.filter(user=person).order_by("pk").values("email", "verified", "primary")
        ),
        "sessions": list(
            UserSession.objects.filter(user=person)
            .order_by("pk")
            .values("created_at", "last_seen_at", "ip", "user_agent")
        ),
        "authenticators": [authenticator(row) for row in Authenticator.objects.filter(user=person)],
        "parts": {name: collect(person) for name, collect in collectors.items()},
    }


def account(person: User) -> dict[str, Any]:
    fields = ("id", "email", "full_name", "phone_number", "country", "date_joined", "last_login")
    return {name: getattr(person, name) for name in fields}


def authenticator(row: Authenticator) -> dict[str, Any]:
    """Its name and dates. Its secret would be a second factor in a file."""
    return {
        "type": row.type,
        "name": str(row),
        "created_at": row.created_at,
        "last_used_at": row.last_used_at,
    }
