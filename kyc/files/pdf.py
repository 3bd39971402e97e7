"""Rewrites a PDF page by page: keeps the drawn content, removes actions, metadata and hidden data.

Content of pages is neither decoded nor interpreted. Runs in its own process (process.py), because the
time and memory that a malicious PDF needs cannot be predicted.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from io import BytesIO
from typing import Any

from pypdf import Configuration, PasswordType, PdfReader, PdfWriter, apply_configuration
from pypdf.errors import PyPdfError
from pypdf.generic import DictionaryObject, IndirectObject, StreamObject

from kyc.files.pdf_streams import checked_stream, refuse_inflated, too_large
from kyc.files.refusal import FileProblem, Reason, unreadable

MOST_PAGES = 10
MOST_OBJECTS = 20_000
MOST_WRITTEN_BYTES = 32 * 2**20
LIMITS = Configuration(
    maximum_declared_stream_length=32 * 2**20,
    zlib_maximum_output_length=32 * 2**20,  # of one object stream or cross-reference stream
    array_maximum_element_count=50_000,
    dictionary_maximum_element_count=5_000,
    page_tree_maximum_entries=10 * MOST_PAGES,
    page_tree_maximum_depth=20,
    page_tree_maximum_page_entries=10_000,
)
MOST_REFERENCES = 100_000

PAGE_KEYS = frozenset(
    {"/Type", "/MediaBox", "/CropBox", "/Rotate", "/UserUnit", "/Resources", "/Contents", "/Group"}
)
# Entries without drawn content: author, date, software, and links out of the page.
METADATA = frozenset(
    {"/Metadata", "/PieceInfo", "/LastModified", "/OPI", "/Alternates", "/AF", "/A", "/AA", "/Annots"}
    | {"/StructParent", "/StructParents", "/Thumb", "/Measure", "/PtData", "/Parent", "/Private"}
)
SCRIPTS_AND_FILES = frozenset({"/JS", "/JavaScript", "/EmbeddedFiles", "/EF", "/XFA", "/RichMediaContent"})
ACTIONS = frozenset(
    {"/JavaScript", "/Launch", "/SubmitForm", "/ImportData", "/GoToR", "/GoToE", "/Rendition", "/Movie"}
    | {"/Sound", "/RichMediaExecute", "/GoTo3DView"}
)
MEDIA = frozenset({"/RichMedia", "/Screen", "/Movie", "/Sound", "/3D", "/FileAttachment"})
# Errors that pypdf raises for damaged or malicious files.
BROKEN = (
    *(PyPdfError, ValueError, TypeError, KeyError, IndexError, AttributeError, AssertionError, EOFError),
    *(OverflowError, RecursionError, MemoryError, NotImplementedError, OSError, zlib.error, Warning),
)


def rewritten(content: bytes) -> bytes:
    """Returns a PDF with the same pages and nothing else. Raises FileProblem."""
    try:
        with apply_configuration(LIMITS):
            return pages_only(
                PdfReader(BytesIO(content), strict=True, xref_stream_maximum_entries=MOST_REFERENCES)
            )
    except BROKEN:
        raise unreadable("PDF") from None


def pages_only(reader: PdfReader) -> bytes:
    if reader.is_encrypted and not opens_without_password(reader):
        raise FileProblem(Reason.UNREADABLE, "This PDF is locked by a password. Send it without one.")
    for entries in dictionaries(reader.root_object):
        refuse_actions(entries)
    pages = reader.pages
    if not 1 <= len(pages) <= MOST_PAGES:
        raise FileProblem(
            Reason.BOMB if len(pages) else Reason.EMPTY,
            f"This PDF has {len(pages)} pages; it must have 1 to {MOST_PAGES}. Send only the needed pages.",
        )
    for page in pages:
        remove_keys(page, [key for key in page if key not in PAGE_KEYS])
    inflated = 0
    for entries in dictionaries(*pages):
        remove_keys(entries, METADATA)
        if isinstance(entries, StreamObject):
            inflated += checked_stream(entries)
            refuse_inflated(inflated)
    return written(pages)


def opens_without_password(reader: PdfReader) -> bool:
    """Returns whether an empty password opens it, as in every viewer; the rewritten PDF is not encrypted.

    An owner's password only forbids to print or edit.
    """
    try:
        return reader.decrypt("") != PasswordType.NOT_DECRYPTED
    except NotImplementedError:  # encrypted for certificates
        return False


def written(pages: Iterable[Any]) -> bytes:
    writer, result = PdfWriter(), BytesIO()
    for page in pages:
        writer.add_page(page)
    writer.metadata = None
    writer.write(result)
    if result.tell() > MOST_WRITTEN_BYTES:
        raise too_large()
    return result.getvalue()


def dictionaries(*roots: Any) -> Iterator[DictionaryObject]:
    """Yields every reachable dictionary once, in bounded time; streams are dictionaries, too."""
    waiting: list[Any] = list(roots)
    seen: set[int] = set()
    steps = 0
    while waiting:
        value = waiting.pop()
        steps += 1
        if steps > 10 * MOST_OBJECTS or len(seen) > MOST_OBJECTS:
            raise FileProblem(Reason.BOMB, "This PDF has too many objects. Print it to a new PDF.")
        if isinstance(value, IndirectObject):
            value = value.get_object()
        if not isinstance(value, (dict, list)) or id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, DictionaryObject):
            yield value
        waiting.extend(value.values() if isinstance(value, dict) else value)


def refuse_actions(entries: DictionaryObject) -> None:
    """Raises FileProblem for actions on open, click or print, for embedded files, and for forms."""
    acts = (
        not SCRIPTS_AND_FILES.isdisjoint(entries)
        or name_in(entries, "/S") in ACTIONS
        or name_in(entries, "/Subtype") in MEDIA
        or opens_something(entries)
    )
    if acts:
        raise FileProblem(
            Reason.ACTIVE_CONTENT,
            "This PDF contains a script, an action or another file. Print it to a new PDF, then send that.",
        )
    if name_in(entries, "/FT") not in ("", "/Sig"):
        raise FileProblem(
            Reason.ACTIVE_CONTENT, "This PDF is a form to fill in. Print it to a new PDF, then send that."
        )


def opens_something(entries: DictionaryObject) -> bool:
    """Returns whether opening the PDF runs an action other than a jump to one of its own pages."""
    automatic = resolved(entries, "/OpenAction")
    if isinstance(automatic, DictionaryObject) and (
        "/Next" in automatic or name_in(automatic, "/S") != "/GoTo"
    ):
        return True
    return "/AA" in entries


def resolved(entries: DictionaryObject, key: str) -> Any:
    """Returns the value with references resolved, which pypdf's `get` does not do; None if it is missing."""
    return entries[key] if key in entries else None  # noqa: SIM401  (get does something else)


def name_in(entries: DictionaryObject, key: str) -> str:
    value = resolved(entries, key)
    return str(value) if isinstance(value, str) else ""


def remove_keys(entries: DictionaryObject, keys: Iterable[str]) -> None:
    for key in keys:
        entries.pop(key, None)
