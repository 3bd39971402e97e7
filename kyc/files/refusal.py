"""The error of refused files. Its message is for the user who sent the file."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    TOO_LARGE = "too_large"
    WRONG_TYPE = "wrong_type"
    UNREADABLE = "unreadable"
    EMPTY = "empty"  # no bytes, no pages, or too few pixels to show a document
    BOMB = "bomb"  # small here, huge when opened
    ACTIVE_CONTENT = "active_content"  # a script, an action, a file inside a file


class FileProblem(Exception):
    """A file is refused. `reason` is for programs; the message says what to do."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


def unreadable(kind: str) -> FileProblem:
    return FileProblem(
        Reason.UNREADABLE, f"This {kind} is damaged or incomplete. Create it again, then send it again."
    )
