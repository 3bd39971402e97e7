"""Which of the three formats a file is, by its first bytes; and whether it is something else besides."""

from __future__ import annotations

import re
import zipfile
from io import BytesIO

from kyc.files.refusal import Reason, Refused

JPEG, PNG, PDF = "image/jpeg", "image/png", "application/pdf"
MAGIC = {b"\xff\xd8\xff": JPEG, b"\x89PNG\r\n\x1a\n": PNG, b"%PDF-": PDF}
NAMES = {JPEG: "JPEG", PNG: "PNG", PDF: "PDF"}
EXTENSIONS = {JPEG: ("jpg", "jpeg", "jpe", "jfif"), PNG: ("png", "apng"), PDF: ("pdf",)}
ALIASES = {"image/jpg": JPEG, "image/pjpeg": JPEG, "image/x-png": PNG, "image/apng": PNG}
ALIASES |= {"application/x-pdf": PDF}
SAYS_NOTHING = frozenset({"", "application/octet-stream", "binary/octet-stream"})

# What a browser, a shell or an interpreter would run when the file reaches it under another name. A marker of
# three bytes stands by chance in every third photograph of 3 MB, so what is short counts with text behind it.
TEXT = rb"[\t\n\r -~]"
SCRIPT = re.compile(
    rb"<(?:script|!doctype html|iframe|html|body)[\s>/]|<\?php"
    rb"|<svg[\s>/]" + TEXT + rb"{4}|<(?:\?=|%@)" + TEXT + rb"{10}|%>\s*<%" + TEXT + rb"{6}",
    re.IGNORECASE,
)


def kind_of(content: bytes) -> str:
    """The media type, by content. Refuses everything that is not taken."""
    if not content:
        raise Refused(Reason.EMPTY, "This file is empty.")
    for magic, kind in MAGIC.items():
        if content.startswith(magic):
            return kind
    raise Refused(
        Reason.WRONG_TYPE,
        "This file is not a JPEG, PNG or PDF. Save it as one of these, then send it again.",
    )


def refuse_other_faces(content: bytes, kind: str) -> None:
    """A file that is two things at once is nobody's scan: a script, a page, an archive or a PDF besides."""
    another = (
        SCRIPT.search(content) is not None
        or b"%PDF-" in content[1:1024]  # readers look for a PDF's beginning that far
        or (kind != PDF and b"%PDF-" in content)
        or zipfile.is_zipfile(BytesIO(content))
    )
    if another:
        raise Refused(
            Reason.ACTIVE_CONTENT,
            f"This {NAMES[kind]} holds something else besides: a program, a web page or an archive. "
            "Make it again with a camera or a scanner.",
        )


def refuse_wrong_label(kind: str, declared_type: str, file_name: str) -> None:
    """What was said of the file has to agree with what it is; saying nothing is fine."""
    declared = declared_type.split(";", 1)[0].strip().lower()
    extension = file_name.rpartition(".")[2].lower() if "." in file_name else ""
    wrong_type = declared not in SAYS_NOTHING and ALIASES.get(declared, declared) != kind
    wrong_extension = extension != "" and extension not in EXTENSIONS[kind]
    if wrong_type or wrong_extension:
        said = "content type" if wrong_type else "name"
        raise Refused(
            Reason.WRONG_TYPE,
            f"This file is a {NAMES[kind]}, but its {said} says something else. Send it under its own type.",
        )
