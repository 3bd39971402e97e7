"""Detects the format of a file by its first bytes, and refuses files that are valid in a second format."""

from __future__ import annotations

import re
import zipfile
from io import BytesIO

from kyc.files.refusal import FileProblem, Reason

JPEG, PNG, PDF = "image/jpeg", "image/png", "application/pdf"
MAGIC = {b"\xff\xd8\xff": JPEG, b"\x89PNG\r\n\x1a\n": PNG, b"%PDF-": PDF}
NAMES = {JPEG: "JPEG", PNG: "PNG", PDF: "PDF"}
EXTENSIONS = {JPEG: ("jpg", "jpeg", "jpe", "jfif"), PNG: ("png", "apng"), PDF: ("pdf",)}
ALIASES = {"image/jpg": JPEG, "image/pjpeg": JPEG, "image/x-png": PNG, "image/apng": PNG}
ALIASES |= {"application/x-pdf": PDF}
SAYS_NOTHING = frozenset({"", "application/octet-stream", "binary/octet-stream"})

# Code that a browser, shell or interpreter would run if it got the file under another name. Three bytes occur
# by chance in every third photograph of 3 MB, so short markers count only if text follows.
TEXT = rb"[\t\n\r -~]"
SCRIPT = re.compile(
    rb"<(?:script|!doctype html|iframe|html|body)[\s>/]|<\?php"
    rb"|<svg[\s>/]" + TEXT + rb"{4}|<(?:\?=|%@)" + TEXT + rb"{10}|%>\s*<%" + TEXT + rb"{6}",
    re.IGNORECASE,
)


def kind_of(content: bytes) -> str:
    """Returns the media type by content. Raises FileProblem for other types and empty files."""
    if not content:
        raise FileProblem(Reason.EMPTY, "This file is empty.")
    for magic, kind in MAGIC.items():
        if content.startswith(magic):
            return kind
    raise FileProblem(
        Reason.WRONG_TYPE,
        "This file is not a JPEG, PNG or PDF. Save it as one of these, then send it again.",
    )


def refuse_other_formats(content: bytes, kind: str) -> None:
    """Raises FileProblem if the file is also a script, a web page, an archive or a PDF."""
    another = (
        SCRIPT.search(content) is not None
        or b"%PDF-" in content[1:1024]  # PDF readers search the header in the first 1024 bytes
        or (kind != PDF and b"%PDF-" in content)
        or zipfile.is_zipfile(BytesIO(content))
    )
    if another:
        raise FileProblem(
            Reason.ACTIVE_CONTENT,
            f"This {NAMES[kind]} also contains a program, a web page or an archive. "
            "Create it again with a camera or a scanner.",
        )


def refuse_wrong_label(kind: str, declared_type: str, file_name: str) -> None:
    """Raises FileProblem if the declared type or the file name contradicts the content. Both are optional."""
    declared = declared_type.split(";", 1)[0].strip().lower()
    extension = file_name.rpartition(".")[2].lower() if "." in file_name else ""
    wrong_type = declared not in SAYS_NOTHING and ALIASES.get(declared, declared) != kind
    wrong_extension = extension != "" and extension not in EXTENSIONS[kind]
    if wrong_type or wrong_extension:
        said = "content type" if wrong_type else "name"
        raise FileProblem(
            Reason.WRONG_TYPE,
            f"This file is a {NAMES[kind]}, but its {said} does not match. Send it with the right {said}.",
        )
