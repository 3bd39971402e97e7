"""Deletes files in steps: set `deleted_at` of the row, delete the file, set `file_deleted_at`.

After a failure between the steps, no undeleted row refers to a missing file, and `delete_leftovers` deletes
the remaining files.
"""

from __future__ import annotations

from functools import partial

import structlog
from django.db import transaction
from django.utils import timezone

from kyc.documents import storage
from kyc.documents.errors import StorageUnavailable
from kyc.models import Case, Document

log = structlog.get_logger(__name__)

BATCH = 500


def delete_files_of(case: Case) -> int:
    """Marks the case's documents as deleted, in the caller's transaction; deletes the files on commit.

    Returns the number of documents.
    """
    return delete_documents(list(case.documents.filter(deleted_at=None).values_list("pk", flat=True)))


def delete_documents(ids: list[int]) -> int:
    count = Document.objects.filter(pk__in=ids, deleted_at=None).update(deleted_at=timezone.now())
    transaction.on_commit(partial(delete_files, ids), robust=True)
    return count


def delete_files(ids: list[int]) -> int:
    """Deletes the files of rows marked as deleted, and returns how many. The sweep retries the others."""
    gone = []
    try:
        for pk, name in Document.objects.filter(
            pk__in=ids, deleted_at__isnull=False, file_deleted_at=None
        ).values_list("pk", "stored_as"):
            storage.delete(name)
            gone.append(pk)
    except StorageUnavailable:
        log.warning("files_of_deleted_documents_not_deleted")  # the next sweep retries
    finally:
        Document.objects.filter(pk__in=gone).update(file_deleted_at=timezone.now())
    return len(gone)


def delete_leftovers() -> int:
    """Deletes the files of deleted rows that an earlier failure left, and returns how many."""
    waiting = Document.objects.filter(deleted_at__isnull=False, file_deleted_at=None)
    return delete_files(list(waiting.values_list("pk", flat=True)[:BATCH]))
