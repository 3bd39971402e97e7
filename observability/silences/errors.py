"""Defines the errors of silences. Each has a stable code."""

from __future__ import annotations

from core.errors import Conflict, Invalid


class BadSilence(Invalid):
    """A field of a silence cannot be what it is."""

    code = "bad_silence"

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message, fields={field: [message]})


class CannotChangeSilence(Conflict):
    """The silence has ended, is being expired, or was made elsewhere."""

    code = "cannot_change_silence"

    def __init__(self, silence_id: int, why: str) -> None:
        super().__init__(f"Silence {silence_id} cannot be changed: {why}.")
