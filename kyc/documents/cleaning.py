"""Sanitises an uploaded file: detects its type by content, rewrites it, and removes metadata."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import NamedTuple

from django.conf import settings

from kyc.documents.errors import Busy, FileRefused, FileTooLarge, refusal
from kyc.files import kinds, process
from kyc.files.refusal import FileProblem
from kyc.metrics import record_file_refused
from kyc.models import Side


class CleanImage(NamedTuple):
    content: bytes
    content_type: str
    sha256: str
    size: int


def clean(*, content: bytes, side: Side) -> CleanImage:
    """Returns the rewritten image; stores nothing. Raises a FileRefused that names the side, or Busy."""
    with counting_refusals():
        refuse_size(len(content), side)
        try:
            remade, kind = remake(content)
        except FileProblem as refused:
            raise refusal(side, refused) from None
        except process.TooBusy:
            raise Busy from None
    return CleanImage(remade, kind, sha256(remade).hexdigest(), len(remade))


def remake(content: bytes) -> tuple[bytes, str]:
    """Returns the rewritten file and its media type. Raises FileProblem.

    The check for other formats runs before and after, because rewriting can reveal hidden content.
    """
    kind = kinds.kind_of(content)
    kinds.refuse_other_formats(content, kind)
    remade = process.remade(content, kind)
    kinds.refuse_other_formats(remade, kind)
    return remade, kind


def refuse_size(size: int, side: str) -> None:
    most = settings.KYC_MAX_FILE_BYTES
    if size > most:
        raise FileTooLarge(side, f"It is larger than {most // 2**20} MB. Send a smaller one.")


@contextmanager
def counting_refusals() -> Iterator[None]:
    """Counts each FileRefused at once: nothing of a refused file is committed, so no commit is awaited."""
    try:
        yield
    except FileRefused as error:
        record_file_refused(error.reason)
        raise
