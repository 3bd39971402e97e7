"""Puts, gets, lists and deletes encrypted files in a folder or bucket; failures raise StorageUnavailable."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]
from django.core.files.base import ContentFile
from django.core.files.storage import Storage, storages
from django.utils import timezone

from core.encryption import decrypt, encrypt, key_fingerprint
from core.errors import CannotDecrypt
from kyc.documents.errors import FileDamaged, StorageUnavailable
from observability.sentry import capture_exception


def storage() -> Storage:
    return storages["kyc"]


def new_name() -> str:
    """Returns a name such as `2026/05/<random>.<key>`: month, random text, fingerprint of the key."""
    return f"{timezone.now():%Y/%m}/{uuid.uuid4().hex}.{key_fingerprint()}"


def put(name: str, content: bytes) -> None:
    """Encrypts the content and stores it under exactly that name. Raises StorageUnavailable."""
    with storage_errors():
        taken = storage().save(name, ContentFile(encrypt(content)))
        if taken != name:  # the random name was in use, so another program writes to this storage
            storage().delete(taken)
            raise StorageUnavailable


def get(name: str) -> bytes:
    """Returns the content. Raises FileNotFoundError, FileDamaged, CannotDecrypt or StorageUnavailable."""
    with storage_errors(), storage().open(name) as file:
        token = file.read()
    try:
        return decrypt(token)
    except CannotDecrypt:
        if name.endswith(f".{key_fingerprint()}"):
            raise FileDamaged from None  # the key is known, so the file was changed
        raise


def delete(name: str) -> None:
    """Deletes the file, if it exists."""
    with storage_errors():
        storage().delete(name)


def files_in(folder: str) -> list[str]:
    """Returns the full names of the files in a folder, or [] if the folder does not exist."""
    return [f"{folder}/{name}" for name in listed(folder)[1]]


def folders_in(folder: str) -> list[str]:
    return sorted(name for name in listed(folder)[0] if name)


def listed(folder: str) -> tuple[list[str], list[str]]:
    with storage_errors():
        try:
            return storage().listdir(folder)
        except FileNotFoundError:
            return [], []


def modified_before(name: str, moment: datetime) -> bool:
    """Returns whether the file was modified before that time; False if it no longer exists."""
    with storage_errors():
        try:
            return storage().get_modified_time(name) < moment
        except FileNotFoundError:
            return False


@contextmanager
def storage_errors() -> Iterator[None]:
    """Turns the store's errors into StorageUnavailable, and reports their text, which may name the bucket."""
    try:
        yield
    except FileNotFoundError:
        raise
    except (OSError, BotoCoreError, ClientError) as error:
        capture_exception(error, context={"storage": "kyc"})
        raise StorageUnavailable from None
