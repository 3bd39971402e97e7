"""From what a person sent to what is kept: recognised by content, harmless, without metadata."""

from __future__ import annotations

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
    try:
        return cleaned(content, side)
    except FileRefused as error:
        record_file_refused(error.reason)
        raise


def cleaned(content: bytes, side: Side) -> CleanImage:
    refuse_size(len(content), side)
    try:
        kind = kinds.kind_of(content)
        kinds.refuse_other_faces(content, kind)
        remade = pdf_process.remade(content) if kind == kinds.PDF else images.redrawn(content, kind)
        kinds.refuse_other_faces(remade, kind)
    except Refused as refused:
        raise refusal(side, refused) from None
    return CleanImage(remade, kind, sha256(remade).hexdigest(), len(remade))


def refuse_size(size: int, side: str) -> None:
    most = settings.KYC_MAX_FILE_BYTES
    if size > most:
        raise FileTooLarge(side, f"It has more than {most // 2**20} MB. Send a smaller one.")
