"""The storage of encrypted files, a folder or a bucket: four verbs, one error when it does not answer."""

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
    """`2026/05/<random>.<key>`: tells when it came and which key made it, nothing about whom it shows."""
    return f"{timezone.now():%Y/%m}/{uuid.uuid4().hex}.{key_fingerprint()}"


def put(name: str, content: bytes) -> None:
    """Encrypts and stores it under exactly that name."""
    with answering():
        taken = storage().save(name, ContentFile(encrypt(content)))
        if taken != name:  # the name is random, so somebody else is writing here
            storage().delete(taken)
            raise StorageUnavailable


def get(name: str) -> bytes:
    """What was put there. Raises FileNotFoundError, FileDamaged, CannotDecrypt or StorageUnavailable."""
    with answering(), storage().open(name) as file:
        token = file.read()
    try:
        return decrypt(token)
    except CannotDecrypt:
        if name.endswith(f".{key_fingerprint()}"):
            raise FileDamaged from None  # its key is here, so the file is not what was written
        raise


def delete(name: str) -> None:
    """A file that is gone already is what was wanted."""
    with answering():
        storage().delete(name)


def files_in(folder: str) -> list[str]:
    """Full names of the files in a folder; none when there is no such folder."""
    return [f"{folder}/{name}" for name in listed(folder)[1]]


def folders_in(folder: str) -> list[str]:
    return sorted(name for name in listed(folder)[0] if name)


def listed(folder: str) -> tuple[list[str], list[str]]:
    with answering():
        try:
            return storage().listdir(folder)
        except FileNotFoundError:
            return [], []


def modified_before(name: str, moment: datetime) -> bool:
    """False for a file that has just gone."""
    with answering():
        try:
            return storage().get_modified_time(name) < moment
        except FileNotFoundError:
            return False


@contextmanager
def answering() -> Iterator[None]:
    """What the store's own words say goes to Sentry: they may name the bucket, which is nobody's business."""
    try:
        yield
    except FileNotFoundError:
        raise
    except (OSError, BotoCoreError, ClientError) as error:
        capture_exception(error, context={"storage": "kyc"})
        raise StorageUnavailable from None
