"""Why a file is not taken. The words are for the person who sent it."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    TOO_LARGE = "too_large"
    WRONG_TYPE = "wrong_type"
    UNREADABLE = "unreadable"
    EMPTY = "empty"  # no bytes, no pages, or too few pixels to show a document
    BOMB = "bomb"  # small here, huge when opened
    ACTIVE_CONTENT = "active_content"  # a script, an action, a file inside a file


class Refused(Exception):
    """`reason` is for programs, the message a sentence that says what to do instead."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


def unreadable(kind: str) -> Refused:
    return Refused(
        Reason.UNREADABLE, f"This {kind} is damaged or incomplete. Make it again, then send it again."
    )
