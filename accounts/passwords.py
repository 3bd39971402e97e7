"""A password in one spelling: "é" may arrive as one character or as two, "A" from an East Asian keyboard as
a full-width letter.

NFKC, as NIST SP 800-63B asks of verifiers. RFC 8265 would keep full-width letters apart (NFC), by which
nobody gains who types them: keyboards choose between them, people do not.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

from django.contrib.auth.password_validation import validate_password

if TYPE_CHECKING:
    from accounts.models import User


def normalised(password: str) -> str:
    return unicodedata.normalize("NFKC", password)


class OneSpellingValidator:
    """What is stored has to pass, too: a full-width "password" is as easily guessed."""

    def validate(self, password: str, user: User | None = None) -> None:
        stored = normalised(password)
        if stored != password:
            validate_password(stored, user)

    def get_help_text(self) -> str:
        return "Letters count as the same however your keyboard composes them."
