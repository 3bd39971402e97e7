"""Errors of documents' files. Messages contain no content of a file."""

from __future__ import annotations

from django.core.exceptions import RequestDataTooBig

from core.errors import Invalid, NotFound, TooLarge, Unavailable, WrongType
from kyc.errors import KycError
from kyc.files.refusal import FileProblem, Reason


class FileRefused(KycError):
    """Base of the refusals; `fields` names the side, `reason` is the metric's label."""

    reason = Reason.UNREADABLE

    def __init__(self, side: str, message: str) -> None:
        super().__init__(f"The image “{side}” was not accepted. {message}", fields={side: [message]})


class FileTooLarge(FileRefused, TooLarge, RequestDataTooBig):
    """Also an error of Django, so that Django answers with 413 and not 500 where no API route handles it."""

    code = "file_too_large"
    reason = Reason.TOO_LARGE


class WrongFileType(FileRefused, WrongType):
    code = "wrong_file_type"
    reason = Reason.WRONG_TYPE


class FileUnreadable(FileRefused, Invalid):
    code = "file_unreadable"
    reason = Reason.UNREADABLE


class FileEmpty(FileRefused, Invalid):
    code = "file_empty"
    reason = Reason.EMPTY


class FileIsBomb(FileRefused, Invalid):
    code = "file_too_complex"
    reason = Reason.BOMB


class FileIsActive(FileRefused, Invalid):
    code = "file_has_active_content"
    reason = Reason.ACTIVE_CONTENT


BY_REASON: dict[Reason, type[FileRefused]] = {
    kind.reason: kind
    for kind in (FileTooLarge, WrongFileType, FileUnreadable, FileEmpty, FileIsBomb, FileIsActive)
}


def refusal(side: str, refused: FileProblem) -> FileRefused:
    return BY_REASON[refused.reason](side, refused.message)


class StorageUnavailable(KycError, Unavailable):
    code = "storage_unavailable"

    def __init__(self) -> None:
        super().__init__("The storage of documents is not available. Nothing was changed. Try again later.")


class Busy(KycError, Unavailable):
    """The images of another submission are being rewritten, the person's own or one in this process; or the
    machine is too busy to rewrite an image in time."""

    code = "busy"

    def __init__(self) -> None:
        super().__init__("Other images are being read. Nothing was changed. Send the same request again.")


class DocumentNotFound(KycError, NotFound):
    code = "document_not_found"

    def __init__(self) -> None:
        super().__init__("The document does not exist, or its file was deleted.")


class FileDamaged(KycError, Unavailable):
    """The file is missing in the storage, or differs from what was stored."""

    code = "file_damaged"

    def __init__(self) -> None:
        super().__init__(
            "The document's file is missing or was changed. Restore it from the storage's backup."
        )
