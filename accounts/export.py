"""Exports all data that Amani stores about an account holder. Each app registers a function for its part."""

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
    """Registers a part of the export under the key `name`; to be called in an app's `ready()`.

    `collect(person)` returns the app's data of the person as JSON-like values; datetimes are allowed. It
    must return no secrets and no data of other users.
    """
    collectors[name] = collect


def export_account(person: User) -> dict[str, Any]:
    """Returns the account, its addresses, sessions and factors, and the part of each registered function."""
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
    """Returns name and dates of a second factor, without its secret."""
    return {
        "type": row.type,
        "name": str(row),
        "created_at": row.created_at,
        "last_used_at": row.last_used_at,
    }
