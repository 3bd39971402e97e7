"""System checks of the mail settings: combinations that cannot work, or that send codes unencrypted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error, register

IMPLICIT_TLS_PORT, SUBMISSION_PORT = 465, 587  # RFC 8314


@register
def mail_encryption(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> Iterable[CheckMessage]:
    """Checks that the TLS settings and EMAIL_PORT agree, and that no password is sent in clear text."""
    if not settings.EMAIL_HOST:
        return
    if settings.EMAIL_USE_SSL and settings.EMAIL_USE_TLS:
        yield Error(
            "EMAIL_USE_SSL and EMAIL_USE_TLS are both on, but a connection can use only one of them.",
            hint="Port 465: EMAIL_USE_SSL=true alone. Port 587: EMAIL_USE_TLS=true alone.",
            id="accounts.E001",
        )
    elif settings.EMAIL_PORT == IMPLICIT_TLS_PORT and not settings.EMAIL_USE_SSL:
        yield Error(
            "EMAIL_PORT is 465 without EMAIL_USE_SSL: on this port the server expects TLS from the start.",
            hint="Set EMAIL_USE_SSL=true (and not EMAIL_USE_TLS), or EMAIL_PORT=587.",
            id="accounts.E002",
        )
    elif settings.EMAIL_PORT == SUBMISSION_PORT and settings.EMAIL_USE_SSL:
        yield Error(
            "EMAIL_PORT is 587 with EMAIL_USE_SSL: on this port the server expects STARTTLS.",
            hint="Set EMAIL_USE_TLS=true instead of EMAIL_USE_SSL, or EMAIL_PORT=465.",
            id="accounts.E003",
        )
    if has_login_in_clear() and not settings.DEBUG:
        yield Error(
            "EMAIL_HOST_USER is set without TLS: the password and all codes are sent in clear text.",
            hint="Set EMAIL_USE_SSL=true (port 465) or EMAIL_USE_TLS=true (port 587).",
            id="accounts.E004",
        )


@register(deploy=True)
def mail_in_clear(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> Iterable[CheckMessage]:
    """Warns about mail without TLS and without a login, which may be a relay on the same machine."""
    if settings.EMAIL_HOST and not has_tls() and not has_login_in_clear():
        yield checks.Warning(
            "Mails go to EMAIL_HOST without TLS: the codes in them can be read on that network.",
            hint="Accept this only for a relay on this machine; else set EMAIL_USE_SSL or EMAIL_USE_TLS.",
            id="accounts.W001",
        )


def has_tls() -> bool:
    return bool(settings.EMAIL_USE_SSL or settings.EMAIL_USE_TLS)


def has_login_in_clear() -> bool:
    return not has_tls() and bool(settings.EMAIL_HOST_USER or settings.EMAIL_HOST_PASSWORD)
