"""Defines the errors of alert actions. Each has a stable code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.errors import AmaniError, Conflict, Forbidden, Invalid, NotFound

if TYPE_CHECKING:
    from observability.models import Delivery, Episode


class ObservabilityError(AmaniError):
    """Base of the errors of alerts."""

    code = "observability_error"


class CannotAcknowledge(ObservabilityError):
    """The alert is resolved or already acknowledged."""

    code = "cannot_acknowledge"

    def __init__(self, episode: Episode, why: str) -> None:
        super().__init__(f"{episode.alertname} cannot be acknowledged: {why}.")
        self.episode_id = episode.pk


class CannotResend(ObservabilityError):
    """The delivery is not finished."""

    code = "cannot_resend"

    def __init__(self, delivery: Delivery, why: str) -> None:
        super().__init__(f"Delivery {delivery.pk} cannot be sent again: {why}.")
        self.delivery_id = delivery.pk


class ReasonMissing(ObservabilityError):
    """The action needs a text that was empty."""

    code = "reason_missing"


class CannotReprocess(ObservabilityError):
    """The receipt was stored in full, or its body still cannot be read."""

    code = "cannot_reprocess"


class UnknownSeverity(ObservabilityError):
    """The severity is none of those in ALERT_ROUTES."""

    code = "unknown_severity"

    def __init__(self, severity: str, known: tuple[str, ...]) -> None:
        super().__init__(f"Unknown severity {severity!r}: use one of {', '.join(known)}.")
        self.severity = severity


class UnknownChannel(ObservabilityError):
    """No notifier has this name."""

    code = "unknown_channel"

    def __init__(self, channel: str, known: tuple[str, ...]) -> None:
        super().__init__(f"Unknown channel {channel!r}: use one of {', '.join(known)}.")
        self.channel = channel


class DrillFailed(ObservabilityError):
    code = "drill_failed"


class RuleFileWrong(ObservabilityError):
    """A rule file of Prometheus that cannot be read."""

    code = "rule_file_wrong"

    def __init__(self, file: str, why: str) -> None:
        super().__init__(f"The rules in {file} cannot be read: {why}.")


class CannotMark(ObservabilityError):
    """The alert has this mark already, or the mark is none."""

    code = "cannot_mark"

    def __init__(self, episode: Episode, why: str) -> None:
        super().__init__(f"{episode.alertname} cannot be marked: {why}.")
        self.episode_id = episode.pk


class RuleChangedMeanwhile(Conflict):
    """Another operator changed the rule after this one had opened its page."""

    code = "rule_changed_meanwhile"

    def __init__(self, what: str = "this rule") -> None:
        super().__init__(f"Another operator has changed {what} meanwhile. Nothing was saved.")


class CannotImport(ObservabilityError):
    """Rule files say what neither tuning nor own rules can give; `problems` has a text for each."""

    code = "cannot_import"
    summary = "The rules cannot become those of the files. Nothing was stored."

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join([self.summary, *problems]))
        self.problems = problems


class MayNotTune(Forbidden):
    """The operator has not the permission to change rules."""

    code = "may_not_tune"

    def __init__(self) -> None:
        super().__init__("You may not change alert rules.")


class UnknownOperator(NotFound):
    """No user has the address."""

    code = "unknown_operator"

    def __init__(self, email: str) -> None:
        super().__init__(f"No user has the address {email}.")


class WrongRule(Invalid):
    """Values of a rule that make no sense; `fields` names each."""

    code = "wrong_rule"

    def __init__(self, fields: dict[str, list[str]]) -> None:
        super().__init__(
            "; ".join(f"{name}: {' '.join(texts)}" for name, texts in fields.items()), fields=fields
        )


class CannotTune(ObservabilityError):
    """The rule, as it is, takes no such change."""

    code = "cannot_tune"
