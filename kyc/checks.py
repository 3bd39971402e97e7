"""System checks of KYC's keys, so that a malformed key is reported at start, not at the first submission."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from cryptography.fernet import Fernet
from django.apps import AppConfig
from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error, register

HOW_TO_MAKE = (
    "Generate one: python3 -c 'from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())'"
)
SHORTEST_SEARCH_KEY = 32


@register
def encryption_keys(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> Iterable[CheckMessage]:
    """Checks ENCRYPTION_KEYS; messages name a key by its position, because they are logged."""
    for place, key in enumerate(settings.ENCRYPTION_KEYS, start=1):
        if not is_key(key):
            yield Error(
                f"ENCRYPTION_KEYS: key {place} is not a Fernet key (32 bytes in URL-safe base64).",
                hint=HOW_TO_MAKE,
                id="kyc.E001",
            )
    if len(set(settings.ENCRYPTION_KEYS)) != len(settings.ENCRYPTION_KEYS):
        yield checks.Warning(
            "ENCRYPTION_KEYS contains a key twice.",
            hint="List each key once. The first one encrypts.",
            id="kyc.W001",
        )


@register(deploy=True)
def search_key(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> Iterable[CheckMessage]:
    if len(settings.KYC_SEARCH_KEY) < SHORTEST_SEARCH_KEY:
        yield Error(
            f"KYC_SEARCH_KEY is shorter than {SHORTEST_SEARCH_KEY} characters: numbers could be guessed.",
            hint="Generate one: python3 -c 'import secrets; print(secrets.token_urlsafe(48))'",
            id="kyc.E002",
        )


def is_key(text: str) -> bool:
    try:
        Fernet(text)
    except ValueError:
        return False
    return True
