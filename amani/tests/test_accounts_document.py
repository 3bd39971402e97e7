"""Runs every command of docs/accounts.md in order, and compares with the text."""

from __future__ import annotations

import os
import re
import subprocess
import time
from typing import Any

import pytest
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from django.conf import settings
from django.core import mail
from django.core.cache import cache
from django.test import Client
from pytest_django import Settings

pytestmark = pytest.mark.django_db

COMMANDS = re.findall(
    r"```sh\n(curl .*?)```", (settings.BASE_DIR / "docs/accounts.md").read_text(), re.DOTALL
)
ARGUMENTS = """curl() { printf '%s\\0' "$@"; }\n"""  # the shell reads the command, the test client sends it
CODE = re.compile(r"^[A-Z]{4}-[A-Z]{4}$", re.MULTILINE)
STATUSES = [
    ("POST", "auth/signup", 401),
    ("POST", "auth/email/verify", 200),
    ("GET", "/api/v1/me", 200),
    ("PATCH", "/api/v1/me", 200),
    ("DELETE", "auth/session", 401),
    ("POST", "auth/login", 200),
    ("POST", "account/password/change", 200),
    ("POST", "auth/password/request", 401),
    ("POST", "auth/password/reset", 401),
    ("POST", "auth/login", 200),
    ("POST", "auth/reauthenticate", 200),
    ("GET", "account/authenticators/totp", 404),
    ("POST", "account/authenticators/totp", 200),
    ("GET", "account/authenticators/recovery-codes", 200),
    ("POST", "auth/login", 401),
    ("POST", "auth/2fa/authenticate", 200),
]


class Reader:
    """Runs the commands of the page, and stores the variables TOKEN, CODE and TOTP."""

    def __init__(self) -> None:
        self.variables = {"AMANI": "", "TOKEN": "", "CODE": "", "TOTP": ""}
        self.secret = ""
        self.codes_used = 0

    def run(self, command: str) -> tuple[str, str, int]:
        method, path, body, headers = request_of(command, self.variables)
        answer = Client().generic(method, path, body, headers.pop("Content-Type", ""), headers=headers)
        self.codes_used += "$TOTP" in command
        self.keep(answer.json().get("meta", {}))
        return method, path.removeprefix("/_allauth/app/v1/"), answer.status_code

    def keep(self, meta: dict[str, Any]) -> None:
        self.variables["TOKEN"] = meta.get("session_token", self.variables["TOKEN"])
        self.secret = meta.get("secret", self.secret)
        if self.secret:  # each code works once; the next one is taken half a minute early
            counter = int(time.time()) // 30 + self.codes_used
            self.variables["TOTP"] = format_hotp_value(hotp_value(self.secret, counter))
        if mail.outbox and (code := CODE.search(str(mail.outbox[-1].body))):
            self.variables["CODE"] = code[0]


def request_of(command: str, variables: dict[str, str]) -> tuple[str, str, str, dict[str, str]]:
    """What curl would send: method, path, body, headers."""
    run = subprocess.run(
        ["bash", "-c", ARGUMENTS + command], env={**os.environ, **variables}, capture_output=True, check=True
    )
    words = iter(run.stdout.decode().split("\0")[:-1])
    method, path, body, headers = "", "", "", {}
    for word in words:
        if word == "-X":
            method = next(words)
        elif word == "-H":
            name, _, value = next(words).partition(": ")
            headers[name] = value
        elif word == "-d":
            body = next(words)
        elif word != "-s":
            path = word
    return method or ("POST" if body else "GET"), path, body, headers


def test_every_command_of_the_page_does_what_the_page_says(settings: Settings) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    cache.clear()
    reader = Reader()
    assert [reader.run(command) for command in COMMANDS] == STATUSES
    assert (
        Client()
        .get("/api/v1/me", headers={"X-Session-Token": reader.variables["TOKEN"]})
        .json()["phone_number"]
        == "+2348031234567"
    )
