"""Documents and second factors are kept encrypted: neither database nor storage sees them in clear.

ENCRYPTION_KEYS holds Fernet keys, newest first: the first encrypts, all of them decrypt.
`manage.py rotate_encryption_keys` encrypts everything again with the first; then the others can go.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings

from core.errors import CannotDecrypt

FINGERPRINT_LENGTH = 8


def encrypt(plain: bytes) -> bytes:
    return ciphers(tuple(settings.ENCRYPTION_KEYS)).encrypt(plain)


def decrypt(token: bytes) -> bytes:
    """Raises CannotDecrypt when no key fits, or when the token was changed: it is signed."""
    try:
        return ciphers(tuple(settings.ENCRYPTION_KEYS)).decrypt(bytes(token))
    except InvalidToken:
        raise CannotDecrypt from None


def rotate(token: bytes) -> bytes:
    """The same content, encrypted with the first key."""
    return encrypt(decrypt(token))


def is_current(token: bytes) -> bool:
    """Whether the first key made it."""
    try:
        ciphers(tuple(settings.ENCRYPTION_KEYS[:1])).decrypt(bytes(token))
    except InvalidToken:
        return False
    return True


def key_fingerprint() -> str:
    """Names the first key without telling anything of it: the key is random."""
    return sha256(settings.ENCRYPTION_KEYS[0].encode()).hexdigest()[:FINGERPRINT_LENGTH]


@lru_cache(maxsize=4)
def ciphers(keys: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(key) for key in keys])
