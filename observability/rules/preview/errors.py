"""Why there is no preview."""

from __future__ import annotations

from observability.alerts.errors import ObservabilityError


class CannotPreview(ObservabilityError):
    """The past of an expression cannot be read; the message says why, and what to do."""

    code = "cannot_preview"
