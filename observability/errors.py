"""The family of Amani's errors, and what may go wrong with alerts; each has a stable code.

The kinds (Invalid, Forbidden, …) say what the caller can do about it. How each is answered over HTTP is said
once, in amani/errors.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from observability.models import Delivery, Episode


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


class ObservabilityError(AmaniError):
    """Base of this app's errors."""

    code = "observability_error"


class CannotAcknowledge(ObservabilityError):
    code = "cannot_acknowledge"

    def __init__(self, episode: Episode, why: str) -> None:
        super().__init__(f"{episode.alertname} cannot be acknowledged: {why}.")
        self.episode_id = episode.pk


class CannotResend(ObservabilityError):
    code = "cannot_resend"

    def __init__(self, delivery: Delivery, why: str) -> None:
        super().__init__(f"Delivery {delivery.pk} cannot be sent again: {why}.")
        self.delivery_id = delivery.pk


class ReasonMissing(ObservabilityError):
    code = "reason_missing"


class CannotReprocess(ObservabilityError):
    code = "cannot_reprocess"


class UnknownSeverity(ObservabilityError):
    code = "unknown_severity"

    def __init__(self, severity: str, known: tuple[str, ...]) -> None:
        super().__init__(f"Unknown severity {severity!r}: use one of {', '.join(known)}.")
        self.severity = severity


class UnknownChannel(ObservabilityError):
    code = "unknown_channel"

    def __init__(self, channel: str, known: tuple[str, ...]) -> None:
        super().__init__(f"Unknown channel {channel!r}: use one of {', '.join(known)}.")
        self.channel = channel
