"""Clients of buyers and sellers that use the real routes: an app and a browser."""

from __future__ import annotations

import json
import re
from typing import Any

from allauth.account.models import EmailAddress
from django.core import mail
from django.test import Client

from accounts.models import User

EMAIL = "ada@example.com"
PASSWORD = "correct horse battery"
CODE = re.compile(r"^[A-Z]{4}-[A-Z]{4}$", re.MULTILINE)


class Answer:
    def __init__(self, response: Any) -> None:
        self.response = response
        self.status: int = response.status_code
        self.json: dict[str, Any] = response.json()

    @property
    def errors(self) -> list[tuple[str, str]]:
        """What is wrong with which field."""
        return [(error["code"], error.get("param", "")) for error in self.json.get("errors", [])]

    @property
    def pending(self) -> list[str]:
        return [flow["id"] for flow in self.json["data"]["flows"] if flow.get("is_pending")]


class App:
    """Keeps a session token and a device token; knows no cookies."""

    base = "/_allauth/app/v1/"

    def __init__(self, **environment: Any) -> None:
        self.client = Client(enforce_csrf_checks=True, raise_request_exception=False)
        self.environment = environment
        self.token = ""
        self.device_token = ""

    def headers(self) -> dict[str, str]:
        headers = {"X-Session-Token": self.token, "X-Device-Token": self.device_token}
        return {name: value for name, value in headers.items() if value}

    def send(self, method: str, path: str, body: Any = None) -> Answer:
        self.client.cookies.clear()
        answer = Answer(self.request(method, self.base + path, body))
        assert not answer.response.cookies
        self.token = answer.json.get("meta", {}).get("session_token", self.token)
        self.device_token = answer.response.headers.get("X-Device-Token", self.device_token)
        return answer

    def request(self, method: str, path: str, body: Any = None) -> Any:
        data = "" if body is None else json.dumps(body)
        return self.client.generic(
            method, path, data, "application/json", headers=self.headers(), **self.environment
        )

    def get(self, path: str) -> Answer:
        return self.send("GET", path)

    def post(self, path: str, **body: Any) -> Answer:
        return self.send("POST", path, body)

    def delete(self, path: str, **body: Any) -> Answer:
        return self.send("DELETE", path, body)

    # --- What people do with it ---

    def sign_up(self, email: str = EMAIL, password: str = PASSWORD, **profile: str) -> Answer:
        return self.post("auth/signup", email=email, password=password, **profile)

    def sign_in(self, email: str = EMAIL, password: str = PASSWORD) -> Answer:
        return self.post("auth/login", email=email, password=password)

    def me(self) -> int:
        """The status of the API's answer to who one is."""
        status: int = self.request("GET", "/api/v1/me").status_code
        return status


class Browser(App):
    """Keeps cookies, and sends the CSRF token with what changes something."""

    base = "/_allauth/browser/v1/"

    def headers(self) -> dict[str, str]:
        cookie = self.client.cookies.get("csrftoken")
        return {"X-CSRFToken": cookie.value} if cookie else {}

    def send(self, method: str, path: str, body: Any = None) -> Answer:
        if "csrftoken" not in self.client.cookies:
            self.request("GET", self.base + "config")
        answer = Answer(self.request(method, self.base + path, body))
        assert "session_token" not in answer.json.get("meta", {})
        assert "X-Device-Token" not in answer.response.headers
        return answer


DEVICES: tuple[type[App], ...] = (App, Browser)


def make_person(email: str = EMAIL, password: str = PASSWORD, **fields: Any) -> User:
    """Returns a user with a verified address."""
    user = User.objects.create_user(email, password, **fields)
    EmailAddress.objects.create(user=user, email=email, verified=True, primary=True)
    return user


def code_in_mail(number: int = -1) -> str:
    found = CODE.search(str(mail.outbox[number].body))
    assert found is not None, mail.outbox[number].body
    return found[0]
