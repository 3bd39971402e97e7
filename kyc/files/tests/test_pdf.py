"""Tests that PDFs keep their pages and lose actions, metadata and hidden data."""

from __future__ import annotations

import struct
import zlib
from base64 import a85encode
from io import BytesIO

import pytest
from PIL import Image
from pypdf import PdfReader

from kyc.files import pdf
from kyc.files.refusal import FileProblem, Reason
from kyc.files.tests import made

CATALOG = b"<< /Type /Catalog /Pages 2 0 R >>"
NO_PAGES = made.pdf_of({1: CATALOG, 2: b"<< /Type /Pages /Kids [] /Count 0 >>"})
PAGES_IN_A_CIRCLE = made.pdf_of({1: CATALOG, 2: b"<< /Type /Pages /Kids [2 0 R] /Count 1 >>"})
ALERT = b"<< /S /JavaScript /JS (app.alert\\(1\\)) >>"
LINK = b"<< /Type /Annot /Subtype /Link /Rect [0 0 9 9] /A << /S /URI /URI (http://example.com) >> >>"


def refused(content: bytes) -> FileProblem:
    with pytest.raises(FileProblem) as caught:
        pdf.rewritten(content)
    return caught.value


def references(first: int, last: int) -> bytes:
    return b"[" + b" ".join(b"%d 0 R" % number for number in range(first, last)) + b"]"


@pytest.mark.parametrize("pages", [1, 10])
def test_pages_come_out_without_title_author_and_the_camera_s_words(pages: int) -> None:
    content = made.pdf(pages)
    assert made.SECRET in content

    result = pdf.rewritten(content)

    assert made.SECRET not in result
    reader = PdfReader(BytesIO(result))
    assert (len(reader.pages), reader.metadata, reader.xmp_metadata) == (pages, None, None)
    assert set(reader.trailer) == {"/Size", "/Root"}
    assert set(reader.root_object) == {"/Type", "/Pages"}
    picture = reader.pages[0].images[0].image
    assert isinstance(picture, Image.Image)
    assert (picture.size, dict(picture.getexif())) == (made.SIZE, {})


def test_links_notes_and_further_data_of_a_page_are_left_out() -> None:
    entries = b"/Annots [%s] /Metadata 5 0 R /PieceInfo << /Word (secret) >> /Tabs /S" % LINK
    page_xmp = made.stream(b"<x:xmpmeta>secret</x:xmpmeta>", b"/Type /Metadata /Subtype /XML")

    result = pdf.rewritten(made.one_page({5: page_xmp}, catalog=b"/Metadata 5 0 R /Lang (en)", page=entries))

    assert b"secret" not in result
    assert set(PdfReader(BytesIO(result)).pages[0]) == {"/Type", "/Parent", "/MediaBox", "/Contents"}


def test_words_beside_a_picture_in_the_page_are_left_out() -> None:
    picture = made.stream(b"0", b"/Subtype /Image /Width 1 /Height 1 /Metadata 6 0 R")
    more = {5: picture, 6: made.stream(b"secret")}

    result = pdf.rewritten(made.one_page(more, page=b"/Resources << /XObject << /I 5 0 R >> >>"))

    assert b"/Image" in result
    assert b"secret" not in result


def with_picture(data: bytes, entries: bytes) -> bytes:
    picture = made.stream(data, b"/Subtype /Image /Width 320 /Height 240 /ColorSpace /DeviceRGB " + entries)
    return made.one_page({5: picture}, page=b"/Resources << /XObject << /I 5 0 R >> >>")


@pytest.mark.parametrize(
    ("data", "filters"),
    [
        (zlib.compress(made.jpeg()), b"/FlateDecode /DCTDecode"),
        (a85encode(made.jpeg()) + b"~>", b"/ASCII85Decode /DCTDecode"),
        (made.jpeg().hex().encode() + b">", b"/ASCIIHexDecode /DCTDecode"),
        (a85encode(zlib.compress(made.jpeg())) + b"~>", b"/ASCII85Decode /FlateDecode /DCTDecode"),
    ],
)
def test_a_photograph_that_is_wrapped_loses_the_camera_s_words_too(data: bytes, filters: bytes) -> None:
    result = pdf.rewritten(with_picture(data, b"/Filter [%s]" % filters))

    picture = PdfReader(BytesIO(result)).pages[0].images[0]
    assert isinstance(picture.image, Image.Image)
    assert picture.image.size == made.SIZE
    assert made.SECRET not in picture.data
    assert made.SECRET not in result


def test_what_is_drawn_stays_when_its_wrapping_goes() -> None:
    drawn = a85encode(zlib.compress(b"0 0 9 9 re f")) + b"~>"
    content = made.stream(drawn, b"/Filter [/ASCII85Decode /FlateDecode] /DecodeParms [null null]")

    result = PdfReader(BytesIO(pdf.rewritten(made.one_page({4: content}))))

    page = result.pages[0].get_contents()
    assert page is not None
    assert page.get_data().strip() == b"0 0 9 9 re f"


@pytest.mark.parametrize(
    "content",
    [
        made.one_page(catalog=b"/OpenAction " + ALERT),
        made.one_page({5: ALERT}, catalog=b"/OpenAction 5 0 R"),
        made.one_page({5: b"<< /Names [(x) %s] >>" % ALERT}, catalog=b"/Names << /JavaScript 5 0 R >>"),
        made.one_page(catalog=b"/OpenAction << /S /J#61vaScript /J#53 (1) >>"),  # names may be spelled so
        made.one_page({5: b"/Launch"}, catalog=b"/OpenAction << /S 5 0 R /F (cmd.exe) >>"),
        made.one_page({5: b"/Launch"}, page=b"/Annots [<< /A << /S 5 0 R /F (cmd.exe) >> >>]"),
        made.one_page(catalog=b"/OpenAction << /S /URI /URI (http://example.com) >>"),
        made.one_page(catalog=b"/OpenAction << /S /GoTo /D [3 0 R /Fit] /Next %s >>" % ALERT),
        made.one_page(page=b"/AA << /O << /S /URI /URI (http://example.com) >> >>"),
        made.one_page(page=b"/Annots [<< /A << /S /SubmitForm /F (http://example.com) >> >>]"),
        made.one_page(page=b"/Annots [<< /A << /S /GoToR /F (\\\\\\\\host\\\\share) >> >>]"),
        made.one_page(page=b"/Annots [<< /Subtype /FileAttachment >>]"),
        made.one_page(page=b"/Annots [<< /Subtype /RichMedia >>]"),
        made.one_page({5: made.stream(b"MZ")}, catalog=b"/AF [<< /Type /Filespec /EF << /F 5 0 R >> >>]"),
        made.one_page(catalog=b"/Names << /EmbeddedFiles << /Names [] >> >>"),
        made.one_page(catalog=b"/AcroForm << /XFA [] /Fields [] >>"),
        made.one_page({5: b"<< /FT /Tx /T (name) /V (x) >>"}, catalog=b"/AcroForm << /Fields [5 0 R] >>"),
    ],
)
def test_scripts_actions_forms_and_files_in_files_are_refused(content: bytes) -> None:
    assert refused(content).reason == Reason.ACTIVE_CONTENT


def test_a_signed_pdf_is_taken_and_a_jump_to_its_own_page_is_harmless() -> None:
    signature = {5: b"<< /FT /Sig /T (a) >>"}
    catalog = b"/AcroForm << /Fields [5 0 R] >> /OpenAction << /S /GoTo /D [3 0 R /Fit] >>"

    assert b"/AcroForm" not in pdf.rewritten(made.one_page(signature, catalog=catalog))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (made.locked_pdf(), Reason.UNREADABLE),
        (NO_PAGES, Reason.EMPTY),
        (made.pdf(11), Reason.BOMB),
        (made.pdf()[:-600], Reason.UNREADABLE),
        (b"%PDF-1.4\nhello", Reason.UNREADABLE),
        (b"%PDF-1.4\n%%EOF", Reason.UNREADABLE),
    ],
)
def test_locked_empty_long_and_broken_pdfs_are_refused(content: bytes, reason: str) -> None:
    assert refused(content).reason == reason


BOMB = made.deflated_zeros(300 * 2**20)
TABLE = b"0000000000 65535 f \n"
END = b"trailer\n<< /Size 9 /Root 1 0 R >>\nstartxref\n9\n%%EOF\n"


def with_object_stream(packed: bytes) -> bytes:
    """The catalog lies in an object stream, whose place is in a cross-reference stream."""
    content = b"%PDF-1.7\n"
    first = len(content)
    content += b"2 0 obj\n%s\nendobj\n" % made.stream(
        packed, b"/Type /ObjStm /N 1 /First 4 /Filter /FlateDecode"
    )
    second = len(content)
    rows = [(0, 0), (2, 2), (1, first), (1, second)]
    table = b"".join(struct.pack(">BIB", kind, place, 0) for kind, place in rows)
    references = made.stream(table, b"/Type /XRef /Size 4 /W [1 4 1] /Root 1 0 R")
    return content + b"3 0 obj\n%s\nendobj\nstartxref\n%d\n%%%%EOF\n" % (references, second)


HUGE_TABLE = made.stream(
    made.deflated_zeros(50 * 2**20),
    b"/Type /XRef /Size 8000000 /W [1 4 1] /Root 1 0 R /Filter /FlateDecode",
)
BUILT_TO_TAKE_LONG = {
    "pages in a circle": PAGES_IN_A_CIRCLE,
    "arrays in arrays": made.one_page(page=b"/X " + b"[" * 100_000 + b"]" * 100_000),
    "dictionaries in dictionaries": made.one_page(page=b"/X " + b"<< /A " * 50_000 + b"1" + b">>" * 50_000),
    "a chain of references": made.one_page(
        {number: b"<< /X %d 0 R >>" % (number + 1) for number in range(5, 5_000)} | {5_000: b"<< >>"},
        page=b"/Resources << /X 5 0 R >>",
    ),
    "many objects": made.one_page(
        dict.fromkeys(range(5, 25_000), b"<< >>"),
        page=b"/Resources << /X %s >>" % references(5, 25_000),
    ),
    "content that inflates": made.one_page({4: made.stream(BOMB, b"/Filter /FlateDecode")}),
    "content packed twice": made.one_page({4: made.stream(BOMB, b"/Filter [/FlateDecode /FlateDecode]")}),
    "a packing of old": made.one_page({4: made.stream(b"x", b"/Filter /LZWDecode")}),
    "a picture of a gigabyte": made.one_page(
        {5: made.stream(b"x", b"/Subtype /Image /Width 60000 /Height 60000")},
        page=b"/Resources << /XObject << /I 5 0 R >> >>",
    ),
    "content that inflates behind text": made.one_page(
        {4: made.stream(a85encode(BOMB) + b"~>", b"/Filter [/ASCII85Decode /FlateDecode]")}
    ),
    "a photograph that inflates": with_picture(BOMB, b"/Filter [/FlateDecode /DCTDecode]"),
    "a photograph larger than it says": with_picture(made.huge_jpeg(), b"/Filter /DCTDecode"),
    "a predictor for packed data": with_picture(
        zlib.compress(made.jpeg()),
        b"/Filter [/FlateDecode /DCTDecode] /DecodeParms [<< /Predictor 2 >> null]",
    ),
    "an object stream that inflates": with_object_stream(BOMB),
    "a table that inflates": b"%PDF-1.7\n1 0 obj\n" + HUGE_TABLE + b"\nendobj\nstartxref\n9\n%%EOF\n",
    "a table that claims a billion": b"%PDF-1.4\nxref\n0 999999999\n" + TABLE + END,
    "a table in a circle": b"%PDF-1.4\nxref\n0 1\n" + TABLE + END.replace(b">>", b"/Prev 9 >>"),
    "nothing but a comment": b"%PDF-1.4\n" + b"%" * 2_000_000,
    "nothing but blanks": b"%PDF-1.4\n" + b" " * 2_000_000,
    "nothing but ends": b"%PDF-1.4\n" + b"startxref\n9\n%%EOF\n" * 50_000,
    "numbers without end": made.one_page(page=b"/X [" + b"1 " * 1_000_000 + b"]"),
}


@pytest.mark.parametrize("content", BUILT_TO_TAKE_LONG.values(), ids=BUILT_TO_TAKE_LONG)
def test_what_is_built_to_take_long_is_refused(content: bytes) -> None:
    """Most of them also in a blink; those that aren't are ended by the process that runs this (below)."""
    assert refused(content).reason in (Reason.BOMB, Reason.UNREADABLE)
