"""Files go in two steps: the row says that it is deleted, then the file goes, then the row says that too.

Whatever breaks in between, no row promises a file that is gone, and `delete_leftovers` finds the others.
"""

from __future__ import annotations

import logging
from functools import partial

from django.db import transaction
from django.utils import timezone

from kyc.documents import storage
from kyc.documents.errors import StorageUnavailable
from kyc.models import Case, Document

logger = logging.getLogger(__name__)

BATCH = 500


def delete_files_of(case: Case) -> int:
    """Nobody may see them from now on; the files go on commit. In the caller's transaction."""
    return delete_documents(list(case.documents.filter(deleted_at=None).values_list("pk", flat=True)))


def delete_documents(ids: list[int]) -> int:
    count = Document.objects.filter(pk__in=ids, deleted_at=None).update(deleted_at=timezone.now())
    transaction.on_commit(partial(delete_files, ids), robust=True)
    return count


def delete_files(ids: list[int]) -> int:
    """Deletes the files of rows that say so, and notes which are gone. What can't be done now waits."""
    gone = []
    try:
        for pk, name in Document.objects.filter(
            pk__in=ids, deleted_at__isnull=False, file_deleted_at=None
        ).values_list("pk", "stored_as"):
            storage.delete(name)
            gone.append(pk)
    except StorageUnavailable:
        logger.warning("Files of deleted documents are left to the next sweep.")
    finally:
        Document.objects.filter(pk__in=gone).update(file_deleted_at=timezone.now())
    return len(gone)


def delete_leftovers() -> int:
    """Files of deleted rows that are still there, because something broke in between."""
    waiting = Document.objects.filter(deleted_at__isnull=False, file_deleted_at=None)
    return delete_files(list(waiting.values_list("pk", flat=True)[:BATCH]))
