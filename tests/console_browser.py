"""Operators at their browser: how they sign in, how a page is watched. The browser is in conftest.py."""

from __future__ import annotations

import base64
import hashlib
import hmac
import struct
import time

from allauth.mfa.totp.internal.auth import TOTP
from playwright.sync_api import Page

from accounts.models import User

PASSWORD = "correct horse battery"
SECRET = base64.b32encode(b"a secret of 20 bytes").decode()
PERIOD = 30
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
QUIET += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]


def totp_code(secret: str, later: int = 0) -> str:
    """What an authenticator app shows now, or `later` periods from now (RFC 6238: SHA-1, 30 s, 6 digits).

    A code counts once. Amani also takes the one before and the one after, so three can be used at once.
    """
    counter = struct.pack(">Q", int(time.time()) // PERIOD + later)
    digest = hmac.new(base64.b32decode(secret), counter, hashlib.sha1).digest()
    start = digest[-1] & 0x0F
    number = struct.unpack(">I", digest[start : start + 4])[0] & 0x7FFFFFFF
    return f"{number % 1_000_000:06d}"


def give_second_factor(user: User, secret: str = SECRET) -> str:
    """As if the operator had enrolled an authenticator app."""
    TOTP.activate(user, secret)
    return secret


def sign_in(page: Page, url: str, email: str = "ada@example.com", secret: str = "") -> None:
    """From the start page: address, password, and the app's code where there is a `secret`."""
    page.goto(f"{url}/")
    page.get_by_label("E-mail address").fill(email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    if secret:
        give_code(page, totp_code(secret))


def give_code(page: Page, code: str, button: str = "Log in") -> None:
    page.get_by_label("Code").fill(code)
    page.get_by_role("button", name=button).click()


def watch(page: Page, own: str) -> list[str]:
    """What the browser complained about: missing files, script errors, other hosts."""
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda sent: None if is_own(sent.url, own) else complaints.append(sent.url))
    return complaints


def is_own(address: str, own: str) -> bool:
    return address.startswith((own, "data:"))
