"""The family of Amani's errors; each has a stable code, and each app adds its own.

The kinds (Invalid, Forbidden, …) say what the caller can do about it. How each is answered over HTTP is said
once, in amani/errors.py.
"""

from __future__ import annotations

from typing import ClassVar

RETRY_AFTER_SECONDS = 5  # what a 503 advises


class AmaniError(Exception):
    """`code` is for programs, the message says what happened and what to do.

    `fields`: what is wrong with which field of the input, in the caller's own names.
    """

    code: ClassVar[str] = "error"

    def __init__(self, message: str, *, fields: dict[str, list[str]] | None = None) -> None:
        super().__init__(message)
        self.fields = fields or {}


class Invalid(AmaniError):
    """The input must change."""

    code = "invalid"


class TooLarge(AmaniError):
    """The input must become smaller."""

    code = "too_large"


class WrongType(AmaniError):
    """The input's format is none of those that are taken."""

    code = "wrong_type"


class Forbidden(AmaniError):
    """This person may not do this."""

    code = "forbidden"


class NotFound(AmaniError):
    """It does not exist, or this person may not know that it does."""

    code = "not_found"


class Conflict(AmaniError):
    """The state of things does not allow it now."""

    code = "conflict"


class Unavailable(AmaniError):
    """Something that Amani needs does not answer; the same request may work later."""

    code = "unavailable"


class CannotDecrypt(Unavailable):
    """None of the keys in ENCRYPTION_KEYS made it."""

    code = "cannot_decrypt"

    def __init__(self) -> None:
        super().__init__(
            "This was encrypted with a key that Amani no longer has. Add the key to ENCRYPTION_KEYS."
        )
