"""A JPEG's skeleton: only what is needed to draw its first picture, found without decoding anything.

Comments, EXIF, colour profiles, thumbnails, further pictures and whatever follows the end are left out.
Markers: ITU-T T.81, table B.1.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from kyc.files.orientation import orientation_in_tiff
from kyc.files.refusal import Reason, Refused, unreadable

SOI, EOI, SOS, DHT, DQT, DRI = 0xD8, 0xD9, 0xDA, 0xC4, 0xDB, 0xDD
JFIF, EXIF, ADOBE = 0xE0, 0xE1, 0xEE
FRAMES = frozenset({0xC0, 0xC1, 0xC2})  # baseline, extended, progressive: what cameras write
OTHER_FRAMES = frozenset(range(0xC3, 0xD0)) - {DHT, 0xC8, 0xCC}
KEPT = frozenset({SOS, DHT, DQT, DRI, ADOBE}) | FRAMES  # Adobe's says how colours are coded
# Each scan is work over the whole picture, whatever its own size. Cameras write one, progressive files ten.
MOST_SCANS = 64
AFTER_SCAN = re.compile(rb"\xff+([^\x00\xd0-\xd7\xff])")


class Skeleton(NamedTuple):
    content: bytes
    width: int
    height: int
    orientation: int


def skeleton_of(content: bytes) -> Skeleton:
    """Raises Refused for a file that breaks off, or that is built to keep a decoder busy."""
    kept: list[bytes] = [content[:2]]
    size: tuple[int, int] | None = None
    orientation, scans, position = 1, 0, 2
    while True:
        marker, position = next_marker(content, position)
        if marker == EOI:
            break
        segment, after = segment_at(content, position)
        if marker in FRAMES and size is None:
            size = size_in_frame(segment)
        elif marker in FRAMES or marker in OTHER_FRAMES:
            raise unreadable("JPEG")
        elif marker == EXIF and segment.startswith(b"Exif\x00\x00") and orientation == 1:
            orientation = orientation_in_tiff(segment[6:])
        if marker == SOS:
            scans += 1
            after = end_of_scan(content, after)
        if marker in KEPT:
            kept.append(b"\xff" + bytes([marker]) + content[position:after])
        if scans > MOST_SCANS:
            raise Refused(
                Reason.BOMB, "This JPEG is built in a way that no camera uses. Photograph it again."
            )
        position = after
    if size is None or scans == 0:
        raise unreadable("JPEG")
    return Skeleton(b"".join(kept) + b"\xff\xd9", *size, orientation)


def next_marker(content: bytes, position: int) -> tuple[int, int]:
    """The marker at `position` and where its segment begins; filling bytes (0xFF) may stand before it."""
    start = position
    while content[position : position + 1] == b"\xff":
        position += 1
    if position == start or position >= len(content):
        raise unreadable("JPEG")
    return content[position], position + 1


def segment_at(content: bytes, position: int) -> tuple[bytes, int]:
    """What follows the length, and where it ends."""
    length = int.from_bytes(content[position : position + 2], "big")
    end = position + length
    if length < 2 or end > len(content):
        raise unreadable("JPEG")
    return content[position + 2 : end], end


def end_of_scan(content: bytes, position: int) -> int:
    """Where the next marker begins that is neither a stuffed byte nor a restart."""
    found = AFTER_SCAN.search(content, position)
    if found is None:
        raise unreadable("JPEG")
    return found.end() - 2


def size_in_frame(frame: bytes) -> tuple[int, int]:
    if len(frame) < 6:
        raise unreadable("JPEG")
    return int.from_bytes(frame[3:5], "big"), int.from_bytes(frame[1:3], "big")
