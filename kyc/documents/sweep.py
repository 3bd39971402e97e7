"""Deletes files that a killed process left: files without a row, and files of deleted rows."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from django.utils import timezone

from kyc.documents import storage
from kyc.documents.removal import delete_leftovers
from kyc.models import Document

# The rows of an upload exist within seconds; clocks may differ by minutes.
OLD_ENOUGH = timedelta(hours=1)
BATCH = 1_000


def sweep_orphans(*, everything: bool = False) -> int:
    """Deletes orphaned files of this month and the last, or of all months, and returns how many."""
    months = list(all_months()) if everything else recent_months(timezone.now())
    orphans = [name for month in months for name in without_row(storage.files_in(month))]
    before = timezone.now() - OLD_ENOUGH
    old = [name for name in orphans if storage.modified_before(name, before)]
    for name in old:
        storage.delete(name)
    return len(old) + delete_leftovers()


def recent_months(now: datetime) -> list[str]:
    last = now.replace(day=1) - timedelta(days=1)
    return [f"{last:%Y/%m}", f"{now:%Y/%m}"]


def all_months() -> Iterator[str]:
    for year in storage.folders_in(""):
        for month in storage.folders_in(year):
            yield f"{year}/{month}"


def without_row(names: list[str]) -> Iterator[str]:
    for start in range(0, len(names), BATCH):
        some = names[start : start + BATCH]
        known = set(Document.objects.filter(stored_as__in=some).values_list("stored_as", flat=True))
        yield from (name for name in some if name not in known)
