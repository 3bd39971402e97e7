"""What an operator or a caller asked of an alert and cannot have; each error has a stable code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.errors import AmaniError

if TYPE_CHECKING:
    from observability.models import Delivery, Episode


class ObservabilityError(AmaniError):
    """Base of the errors of alerts."""

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


class DrillFailed(ObservabilityError):
    code = "drill_failed"
