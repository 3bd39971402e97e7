"""Reduces a PNG to the chunks that draw its picture, without decompressing it.

Removes texts, colour profiles, further pictures (APNG) and data after the end. Chunks: PNG specification
(third edition), section 11.
"""

from __future__ import annotations

from typing import NamedTuple
from zlib import crc32

from kyc.files.orientation import UPRIGHT, orientation_in_tiff
from kyc.files.refusal import unreadable

SIGNATURE = b"\x89PNG\r\n\x1a\n"
KEPT = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})


class Skeleton(NamedTuple):
    content: bytes
    width: int
    height: int
    orientation: int


def skeleton_of(content: bytes) -> Skeleton:
    """Returns the reduced file. Raises FileProblem if it is truncated or a checksum is wrong."""
    kept, orientation = [SIGNATURE], UPRIGHT
    seen: list[bytes] = []
    position, kind, header = len(SIGNATURE), b"", b""
    while kind != b"IEND":
        kind, data, after = chunk_at(content, position)
        if kind == b"IHDR":
            header = data
        if kind == b"eXIf":
            orientation = orientation_in_tiff(data)
        if kind in KEPT:
            kept.append(content[position:after])
            seen.append(kind)
        position = after
    if seen[0] != b"IHDR" or seen.count(b"IHDR") != 1 or b"IDAT" not in seen or len(header) != 13:
        raise unreadable("PNG")
    width, height = int.from_bytes(header[:4], "big"), int.from_bytes(header[4:8], "big")
    return Skeleton(b"".join(kept), width, height, orientation)


def chunk_at(content: bytes, position: int) -> tuple[bytes, bytes, int]:
    """Returns the chunk's type, its data, and where it ends."""
    length = int.from_bytes(content[position : position + 4], "big")
    end = position + 12 + length
    if end > len(content):
        raise unreadable("PNG")
    kind, data = content[position + 4 : position + 8], content[position + 8 : end - 4]
    if crc32(kind + data) != int.from_bytes(content[end - 4 : end], "big"):
        raise unreadable("PNG")
    return kind, data, end
