"""A mail as the mail server gets it, and how it lies in the database: encrypted."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from core import encryption


@dataclass(frozen=True, slots=True)
class Letter:
    """`sender` and `recipient` as in a header, `content` with headers and CRLF. None of it is in its repr."""

    sender: str = field(repr=False)
    recipient: str = field(repr=False)
    content: bytes = field(repr=False)


def seal(letter: Letter) -> bytes:
    envelope = json.dumps([letter.sender, letter.recipient]).encode()
    return encryption.encrypt(envelope + b"\n" + letter.content)


def open_letter(sealed: bytes) -> Letter:
    """Raises CannotDecrypt when no key of ENCRYPTION_KEYS made it."""
    envelope, _, content = encryption.decrypt(sealed).partition(b"\n")
    sender, recipient = json.loads(envelope)
    return Letter(sender, recipient, content)
