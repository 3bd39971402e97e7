"""Builds valid and malicious files for the tests."""

from __future__ import annotations

import struct
import zlib
from functools import cache
from io import BytesIO
from typing import Any

from PIL import Image
from pypdf import PdfWriter

SECRET = b"Nobody must see Adaeze's address"
SIZE = (320, 240)


@cache
def picture(size: tuple[int, int] = SIZE, mode: str = "RGB") -> Image.Image:
    """Not one colour: its upper left corner is red, the rest runs from dark to light."""
    image = Image.linear_gradient("L").resize(size).convert("RGB")
    image.paste("red", (0, 0, size[0] // 4, size[1] // 4))
    return image.convert(mode)


def exif(orientation: int = 1) -> Image.Exif:
    block = Image.Exif()
    block[0x0112] = orientation
    block[0x010E] = SECRET.decode()  # a description
    position = block.get_ifd(0x8825)
    position[1], position[2] = "N", (6.0, 27.0, 16.0)
    position[29] = SECRET.decode()
    return block


def jpeg(orientation: int = 1, **options: Any) -> bytes:
    """With all metadata that a camera writes: position, description, comment, a thumbnail of sorts."""
    result = BytesIO()
    metadata: dict[str, Any] = {"exif": exif(orientation), "comment": SECRET, "icc_profile": SECRET}
    picture(mode=options.pop("mode", "RGB")).save(result, "JPEG", **{**metadata, **options})
    return result.getvalue()


def huge_jpeg() -> bytes:
    """Says of itself that it has 900 million pixels."""
    content = jpeg()
    frame = content.index(b"\xff\xc0")
    return content[: frame + 5] + struct.pack(">HH", 30_000, 30_000) + content[frame + 9 :]


def png(orientation: int = 1, mode: str = "RGB") -> bytes:
    result = BytesIO()
    picture(mode=mode).save(result, "PNG", exif=exif(orientation))
    return with_chunk(result.getvalue(), b"tEXt", b"Comment\x00" + SECRET)


def with_chunk(content: bytes, kind: bytes, data: bytes) -> bytes:
    """A PNG with one more chunk after its header."""
    return content[:33] + chunk(kind, data) + content[33:]


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_header(width: int, height: int, depth: int = 8, colour: int = 2) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + chunk(
        b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    )


def apng() -> bytes:
    frames, result = [picture(), picture().rotate(180)], BytesIO()
    frames[0].save(result, "PNG", save_all=True, append_images=frames[1:])
    return result.getvalue()


def mpo() -> bytes:
    """Two JPEGs in one file, as telephones write them for depth or light."""
    frames, result = [picture(), picture().rotate(180)], BytesIO()
    frames[0].save(result, "MPO", save_all=True, append_images=frames[1:])
    return result.getvalue()


def pdf(pages: int = 1) -> bytes:
    """Scanned pages, with a title, an author and a picture with metadata of its own."""
    scan = Image.open(BytesIO(jpeg()))
    result = BytesIO()
    more = [scan] * (pages - 1)
    scan.save(result, "PDF", save_all=True, append_images=more, title=SECRET.decode(), author=SECRET.decode())
    return result.getvalue()


def pdf_of(objects: dict[int, bytes], root: int = 1, trailer: bytes = b"") -> bytes:
    """A PDF with these objects and a correct table of them."""
    content, places = b"%PDF-1.7\n", {}
    for number, body in objects.items():
        places[number] = len(content)
        content += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(
        b"%010d %05d %s \n" % ((places[number], 0, b"n") if number in places else (0, 65535, b"f"))
        for number in range(max(objects) + 1)
    )
    start = len(content)
    size = max(objects) + 1
    content += b"xref\n0 %d\n%strailer\n<< /Size %d /Root %d 0 R %s >>\n" % (size, table, size, root, trailer)
    return content + b"startxref\n%d\n%%%%EOF\n" % start


def stream(data: bytes, entries: bytes = b"") -> bytes:
    return b"<< /Length %d %s >>\nstream\n%s\nendstream" % (len(data), entries, data)


def one_page(more: dict[int, bytes] | None = None, catalog: bytes = b"", page: bytes = b"") -> bytes:
    """A PDF of one page; `catalog` and `page` are further entries, `more` further objects from 5 on."""
    return pdf_of(
        {
            1: b"<< /Type /Catalog /Pages 2 0 R %s >>" % catalog,
            2: b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
            3: b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Contents 4 0 R %s >>" % page,
            4: stream(b"0 0 100 100 re f"),
            **(more or {}),
        }
    )


def locked_pdf() -> bytes:
    writer, result = PdfWriter(), BytesIO()
    writer.add_blank_page(600, 800)
    writer.encrypt("secret", algorithm="AES-256")
    writer.write(result)
    return result.getvalue()


def restricted_pdf(algorithm: str) -> bytes:
    """Opens without a password; only who knows the owner's may print or edit it."""
    writer, result = PdfWriter(clone_from=BytesIO(one_page())), BytesIO()
    writer.encrypt("", "secret of the owner", algorithm=algorithm)
    writer.write(result)
    return result.getvalue()


def deflated_zeros(size: int) -> bytes:
    """`size` zeros (whole MiB), packed a thousandfold: one packed MiB again and again, and their checksum."""
    packer = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    block = packer.compress(bytes(2**20)) + packer.flush(zlib.Z_FULL_FLUSH)
    checksum = (size % 65521 << 16 | 1).to_bytes(4, "big")
    return b"\x78\xda" + block * (size // 2**20) + packer.flush() + checksum
