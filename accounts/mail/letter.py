"""Encrypts and decrypts a mail as it is sent to the mail server."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from core import encryption


@dataclass(frozen=True, slots=True)
class Letter:
    """A mail. `sender` and `recipient` as in a header, `content` with headers and CRLF; hidden in repr."""

    sender: str = field(repr=False)
    recipient: str = field(repr=False)
    content: bytes = field(repr=False)


def seal(letter: Letter) -> bytes:
    """Returns the encrypted mail."""
    envelope = json.dumps([letter.sender, letter.recipient]).encode()
    return encryption.encrypt(envelope + b"\n" + letter.content)


def open_letter(sealed: bytes) -> Letter:
    """Returns the decrypted mail. Raises CannotDecrypt if no key of ENCRYPTION_KEYS fits."""
    envelope, _, content = encryption.decrypt(sealed).partition(b"\n")
    sender, recipient = json.loads(envelope)
    return Letter(sender, recipient, content)
