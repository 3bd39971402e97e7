"""The app of one user, which speaks JSON to the API."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

from allauth.account.models import EmailAddress
from django.test import Client

from accounts.models import User

API = "/api/v1"


class App:
    def __init__(self, person: User) -> None:
        EmailAddress.objects.get_or_create(
            user=person, email=person.email, defaults={"verified": True, "primary": True}
        )
        browser = Client()
        browser.force_login(person)
        self.person = person
        self.client = Client(headers={"X-Session-Token": str(browser.session.session_key)})
        self.client.raise_request_exception = False

    def get(self, path: str, status: int = 200, **query: Any) -> Any:
        response = self.client.get(f"{API}{path}", query)
        assert response.status_code == status, response.content
        return response.json()

    def send(self, path: str, body: Any = None, *, key: str = "", version: int | None = None) -> Any:
        """Posts JSON with a key, a new one unless it is given, and returns the response."""
        headers = {"Idempotency-Key": key or str(uuid4())}
        if version is not None:
            headers["If-Match"] = f'"{version}"'
        data = b"" if body is None else json.dumps(body)
        return self.client.post(f"{API}{path}", data, content_type="application/json", headers=headers)

    def post(self, path: str, body: Any = None, status: int = 200, **options: Any) -> Any:
        response = self.send(path, body, **options)
        assert response.status_code == status, response.content
        found = response.json()
        if status >= 400:
            assert set(found) == {"title", "status", "code", "message", "fields", "request_id"}
        return found
