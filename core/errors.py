"""Defines the base classes of Amani's errors. Each error has a stable code; each app adds its own.

The kind of an error (Invalid, Forbidden, …) says what the caller can do about it. amani/errors.py maps each
kind to an HTTP response.
"""

from __future__ import annotations

from typing import ClassVar

RETRY_AFTER_SECONDS = 5  # the header Retry-After of a 503


class AmaniError(Exception):
    """The base class of all errors. `code` is for programs; the message says what happened and what to do.

    `fields`: name of an input field, as the caller wrote it → what is wrong with its value.
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
    """The input has a format that is not accepted."""

    code = "wrong_type"


class Forbidden(AmaniError):
    """The user does not have the permission."""

    code = "forbidden"


class NotFound(AmaniError):
    """The object does not exist, or the user may not know that it does."""

    code = "not_found"


class Conflict(AmaniError):
    """The current state does not allow the action."""

    code = "conflict"


class Stale(AmaniError):
    """The object has changed since the caller read it; `version` is what it is now."""

    code = "version_changed"

    def __init__(self, version: int) -> None:
        super().__init__(
            "It has changed since you read it. Read it again, then decide, with its new ETag in If-Match."
        )
        self.version = version


class VersionMissing(AmaniError):
    """The caller must say which version of the object the change is meant for."""

    code = "version_missing"

    def __init__(self) -> None:
        super().__init__(
            'Send the ETag of what you read as the header If-Match, for example If-Match: "3". '
            "The change is made only if that is still the newest version."
        )


class Unavailable(AmaniError):
    """A service that Amani needs does not answer; the same request may succeed later."""

    code = "unavailable"


class CannotDecrypt(Unavailable):
    """None of the keys in ENCRYPTION_KEYS decrypts the value."""

    code = "cannot_decrypt"

    def __init__(self) -> None:
        super().__init__(
            "This was encrypted with a key that Amani no longer has. Add the key to ENCRYPTION_KEYS."
        )
