"""From what a person sent to what is kept: recognised by content, harmless, without metadata."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import NamedTuple

from django.conf import settings

from kyc.documents.errors import FileRefused, FileTooLarge, refusal
from kyc.files import images, kinds, pdf_process
from kyc.files.refusal import Refused
from kyc.metrics import record_file_refused
from kyc.models import Side


class CleanImage(NamedTuple):
    content: bytes
    content_type: str
    sha256: str
    size: int


def clean(*, content: bytes, side: Side) -> CleanImage:
    """The image, made anew; raises a FileRefused that names the side. Nothing is written anywhere."""
    with counting_refusals():
        refuse_size(len(content), side)
        try:
            remade, kind = remake(content)
        except Refused as refused:
            raise refusal(side, refused) from None
    return CleanImage(remade, kind, sha256(remade).hexdigest(), len(remade))


def remake(content: bytes) -> tuple[bytes, str]:
    """Looked at before and after: what hides in a file may come to light when it is rewritten."""
    kind = kinds.kind_of(content)
    kinds.refuse_other_faces(content, kind)
    remade = pdf_process.remade(content) if kind == kinds.PDF else images.redrawn(content, kind)
    kinds.refuse_other_faces(remade, kind)
    return remade, kind


def refuse_size(size: int, side: str) -> None:
    most = settings.KYC_MAX_FILE_BYTES
    if size > most:
        raise FileTooLarge(side, f"It has more than {most // 2**20} MB. Send a smaller one.")


@contextmanager
def counting_refusals() -> Iterator[None]:
    """Nothing of a refused file is committed, so there is no commit to wait for."""
    try:
        yield
    except FileRefused as error:
        record_file_refused(error.reason)
        raise
