"""Normalises passwords with NFKC, as NIST SP 800-63B requires.

A keyboard may send "é" as one character or as two, and an East Asian keyboard may send "A" as a full-width
letter. RFC 8265 prefers NFC, which keeps full-width letters different; NFKC is chosen because the keyboard
decides which one is sent, not the user.
"""

from __future__ import annotations

import unicodedata
from typing import Any

from django.contrib.auth.password_validation import validate_password


def normalised(password: str) -> str:
    return unicodedata.normalize("NFKC", password)


class OneSpellingValidator:
    """Validates the normalised password too: a full-width "password" is as easy to guess."""

    def validate(self, password: str, user: Any = None) -> None:
        stored = normalised(password)
        if stored != password:
            validate_password(stored, user)

    def get_help_text(self) -> str:
        return "Different ways to type the same letter count as the same."
