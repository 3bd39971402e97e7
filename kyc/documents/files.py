"""Stores files and rows together: no row without a file, no file without a row for more than an hour."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256

import structlog
from django.db import DatabaseError
from django.utils import timezone

from kyc.documents import storage
from kyc.documents.cleaning import CleanImage
from kyc.documents.errors import DocumentNotFound, FileDamaged, StorageUnavailable
from kyc.models import Case, Document, Side

log = structlog.get_logger(__name__)


class StoredImages:
    """Encrypted files that are in the storage and have no rows yet."""

    def __init__(self) -> None:
        self.names: dict[Side, str] = {}
        self.images: dict[Side, CleanImage] = {}

    def put(self, side: Side, image: CleanImage) -> None:
        name = storage.new_name()
        self.names[side], self.images[side] = name, image  # first: a failed put may have written the file
        storage.put(name, image.content)

    def attach(self, case: Case) -> list[Document]:
        """Creates and returns rows for the files, in the caller's transaction.

        Marks older images of the same sides as replaced.
        """
        current = Document.objects.filter(case=case, side__in=self.names, replaced_at=None, deleted_at=None)
        current.update(replaced_at=timezone.now())
        return Document.objects.bulk_create(
            Document(
                case=case,
                side=side,
                content_type=image.content_type,
                size=image.size,
                sha256=image.sha256,
                stored_as=self.names[side],
            )
            for side, image in self.images.items()
        )

    def discard(self) -> None:
        """Deletes the files that no row names; if that fails, the sweep deletes them later."""
        try:
            # If the connection broke during the commit, the rows may exist and need their files.
            kept = set(Document.objects.filter(stored_as__in=self.names.values()).values_list("stored_as"))
            for name in self.names.values():
                if (name,) not in kept:
                    storage.delete(name)
        except (DatabaseError, StorageUnavailable):
            log.warning("files_of_refused_submission_not_deleted", exc_info=True)  # the sweep deletes them


@contextmanager
def stored(images: Mapping[Side, CleanImage]) -> Iterator[StoredImages]:
    """Stores the images: `with stored(images) as files, transaction.atomic(): … files.attach(case)`.

    Deletes the files again after any exception. Raises StorageUnavailable if they can't be stored.
    """
    files = StoredImages()
    try:
        for side, image in images.items():
            files.put(side, image)
        yield files
    except BaseException:
        files.discard()
        raise


def read(document: Document) -> bytes:
    """Returns the decrypted file. The caller must store a DocumentAccess first.

    Raises DocumentNotFound, FileDamaged, CannotDecrypt or StorageUnavailable.
    """
    try:
        content = content_of(document)
    except FileNotFoundError:
        raise FileDamaged from None
    if sha256(content).hexdigest() != document.sha256:
        raise FileDamaged
    return content


def content_of(document: Document) -> bytes:
    """Returns the decrypted file. If it is missing, reloads the row: key rotation gives files new names."""
    if document.deleted_at is not None:
        raise DocumentNotFound
    try:
        return storage.get(document.stored_as)
    except FileNotFoundError:
        document.refresh_from_db(fields=["stored_as", "deleted_at"])
        if document.deleted_at is not None:
            raise DocumentNotFound from None
        return storage.get(document.stored_as)
