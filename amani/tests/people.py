"""Creates verified users and their clients for tests of the API."""

from __future__ import annotations

import json
import time
from functools import cache
from itertools import count
from typing import Any

from allauth.account.models import EmailAddress
from django.contrib.auth.hashers import make_password
from django.test import Client

from accounts.models import User

PASSWORD = "correct horse battery staple"
ME = "/api/v1/me"
numbers = count(1)


def make_person(email: str = "", *, verified: bool = True, **fields: Any) -> User:
    email = email or f"person-{next(numbers)}@example.com"
    person = User.objects.create_user(email, **fields)
    person.password = hashed()
    person.save()
    EmailAddress.objects.create(user=person, email=person.email, verified=verified, primary=True)
    return person


@cache
def hashed() -> str:
    """Once for all: hashing is slow on purpose."""
    return make_password(PASSWORD)


class Api:
    """A user's app, which sends the session token and JSON."""

    def __init__(self, person: User | None = None, *, confirmed: bool = False) -> None:
        self.client = Client(raise_request_exception=False)
        self.headers = {"X-Session-Token": token_of(person, confirmed=confirmed)} if person else {}

    def __call__(self, method: str, path: str, body: Any = None, **options: Any) -> Any:
        """`body` is sent as JSON; text and bytes as they are."""
        if body is not None:
            data = body if isinstance(body, str | bytes) else json.dumps(body)
            options = {"data": data, "content_type": "application/json", **options}
        headers = {**self.headers, **options.pop("headers", {})}
        return self.client.generic(method, path, headers=headers, **options)


def token_of(person: User, *, confirmed: bool = False) -> str:
    """A session's key is the app's token. `confirmed`: they have just said who they are again."""
    browser = Client()
    browser.force_login(person)
    session = browser.session
    if confirmed:
        record = {"method": "password", "at": time.time(), "reauthenticated": True}
        session["account_authentication_methods"] = [record]
        session["account_authentication_methods_user"] = str(person.pk)
        session.save()
    return str(session.session_key)
