"""Re-encrypts all data with the first key while the application runs, so that other keys can be removed.

A file's name contains the fingerprint of its key, so an interrupted rotation continues where it stopped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple, TypeVar

from django.db import transaction
from django.db.models import Model, QuerySet

from accounts.mail.outbox import rotate_content, with_content
from accounts.second_factor import rotate_secret, secrets_of_factors
from core.encryption import is_current, key_fingerprint, rotate
from core.errors import CannotDecrypt
from kyc.documents import storage
from kyc.documents.errors import DocumentNotFound, FileDamaged
from kyc.documents.files import read
from kyc.documents.sweep import sweep_orphans
from kyc.models import Case, CaseEventText, Document

BATCH = 200
Report = Callable[[str], None]
Row = TypeVar("Row", bound=Model)


class Column(NamedTuple):
    """An encrypted column of an app above this one. `what`: names a row in a report, before its id."""

    what: str
    rows: QuerySet[Any]
    name: str


columns: list[Column] = []


def register(what: str, rows: QuerySet[Any], name: str) -> None:
    """Has `rotate_keys` re-encrypt this column too; to be called in the `ready()` of an app above."""
    columns.append(Column(what, rows, name))


class Rotated(NamedTuple):
    factors: int = 0
    numbers: int = 0
    texts: int = 0
    files: int = 0
    mails: int = 0
    others: int = 0  # what apps above registered
    failed: int = 0  # key or file is missing, so that a retry would fail too
    swept: int = 0


def rotate_keys(*, report: Report) -> Rotated:
    """Re-encrypts everything and returns the numbers of rows; calls `report` with each failure.

    Raises StorageUnavailable; data that was re-encrypted before stays so.
    """
    numbered = Case.objects.exclude(number_encrypted=b"").only("number_encrypted")
    factors = tally(secrets_of_factors(), rotate_secret, "The second factor", report)
    numbers = tally(numbered, rotate_number, "The number of case", report)
    texts = tally(CaseEventText.objects.all(), rotate_text, "What was written about event", report)
    files = tally(with_old_key(), rotate_file, "The file of document", report)
    mails = tally(with_content(), rotate_content, "The mail", report)
    others: Counter[bool | None] = Counter()
    for column in columns:
        others += tally(column.rows.all(), partial(rotate_column, column.name), column.what, report)
    return Rotated(
        factors=factors[True],
        numbers=numbers[True],
        texts=texts[True],
        files=files[True],
        mails=mails[True],
        others=others[True],
        failed=factors[None] + numbers[None] + texts[None] + files[None] + mails[None] + others[None],
        swept=sweep_orphans(everything=True),
    )


def tally(
    rows: QuerySet[Row], step: Callable[[Row], bool], what: str, report: Report
) -> Counter[bool | None]:
    return Counter(tried(partial(step, row), f"{what} {row.pk}", report) for row in in_batches(rows))


def with_old_key() -> QuerySet[Document]:
    return Document.objects.filter(deleted_at=None).exclude(stored_as__endswith=f".{key_fingerprint()}")


def in_batches(rows: QuerySet[Row]) -> Iterator[Row]:
    last = 0
    while batch := list(rows.filter(pk__gt=last).order_by("pk")[:BATCH]):
        yield from batch
        last = batch[-1].pk


def tried(step: Callable[[], bool], what: str, report: Report) -> bool | None:
    """Returns True if the row was rotated, False if that was not necessary, None if it is not possible."""
    try:
        return step()
    except (CannotDecrypt, FileDamaged) as error:
        report(f"{what}: {error}")
        return None


def rotate_number(case: Case) -> bool:
    """Re-encrypts the number, unless it was changed concurrently (then it has the first key already)."""
    old = bytes(case.number_encrypted)
    if is_current(old):
        return False
    same = Case.objects.filter(pk=case.pk, number_encrypted=old)
    return same.update(number_encrypted=rotate(old)) == 1


def rotate_text(row: CaseEventText) -> bool:
    """Re-encrypts what was written about an event."""
    old = bytes(row.encrypted)
    if is_current(old):
        return False
    return CaseEventText.objects.filter(pk=row.pk).update(encrypted=rotate(old)) == 1


def rotate_column(name: str, row: Model) -> bool:
    """Re-encrypts one column, unless it was changed concurrently (then it has the first key already)."""
    old = bytes(getattr(row, name))
    if is_current(old):
        return False
    same = type(row)._default_manager.filter(pk=row.pk, **{name: old})  # noqa: SLF001  (Django's documented way)
    return same.update(**{name: rotate(old)}) == 1


def rotate_file(document: Document) -> bool:
    """Writes a new file, updates the row, then deletes the old file. Readers find one of the two."""
    old = document.stored_as
    try:
        content = read(document)
    except DocumentNotFound:
        return False
    new = storage.new_name()
    storage.put(new, content)
    with transaction.atomic():
        row = Document.objects.select_for_update(no_key=True).get(pk=document.pk)
        if row.stored_as != old or row.deleted_at is not None:
            transaction.on_commit(partial(storage.delete, new))
            return False
        row.stored_as = new
        row.save(update_fields=["stored_as"])
        transaction.on_commit(partial(storage.delete, old))
    return True
