"""Reads uploads into memory only, up to the limits, so that nothing unencrypted is written to a disk."""

from __future__ import annotations

from io import BytesIO
from typing import Any

from django.core.files.uploadedfile import InMemoryUploadedFile, UploadedFile
from django.core.files.uploadhandler import FileUploadHandler

from kyc.documents.cleaning import counting_refusals, refuse_size
from kyc.documents.errors import refusal
from kyc.files import kinds
from kyc.files.refusal import FileProblem
from kyc.models import Side


class BoundedUploadHandler(FileUploadHandler):
    """Stops reading a request when a file becomes too large. Raises FileTooLarge (413).

    FILE_UPLOAD_HANDLERS sets it for every route. Django's handlers would drop the files without an error.
    """

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        super().new_file(*args, **kwargs)
        self.content = BytesIO()

    def receive_data_chunk(self, raw_data: bytes, start: int) -> bytes | None:
        with counting_refusals():
            refuse_size(self.content.tell() + len(raw_data), self.field_name or "file")
        self.content.write(raw_data)
        return None

    def file_complete(self, file_size: int) -> UploadedFile[bytes]:
        self.content.seek(0)
        return InMemoryUploadedFile(
            file=self.content,
            field_name=self.field_name,
            name=self.file_name or "",
            content_type=self.content_type or "",
            size=file_size,
            charset=self.charset,
            content_type_extra=self.content_type_extra,
        )


def received(*, upload: UploadedFile[bytes], side: Side) -> bytes:
    """Returns the upload's content. Raises a FileRefused if its name or declared type does not match it."""
    content: bytes = upload.read()
    with counting_refusals():
        refuse_size(len(content), side)
        try:
            kind = kinds.kind_of(content)
            kinds.refuse_wrong_label(kind, upload.content_type or "", upload.name or "")
        except FileProblem as refused:
            raise refusal(side, refused) from None
    return content
