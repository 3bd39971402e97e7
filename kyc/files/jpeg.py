"""Reduces a JPEG to the segments needed to draw its first picture, without decoding it.

Removes comments, EXIF, colour profiles, thumbnails, further pictures and data after the end. Markers: ITU-T
T.81, table B.1.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from kyc.files.orientation import orientation_in_tiff
from kyc.files.refusal import FileProblem, Reason, unreadable

SOI, EOI, SOS, DHT, DQT, DRI = 0xD8, 0xD9, 0xDA, 0xC4, 0xDB, 0xDD
JFIF, EXIF, ADOBE = 0xE0, 0xE1, 0xEE
FRAMES = frozenset({0xC0, 0xC1, 0xC2})  # baseline, extended, progressive: what cameras write
OTHER_FRAMES = frozenset(range(0xC3, 0xD0)) - {DHT, 0xC8, 0xCC}
KEPT = frozenset({SOS, DHT, DQT, DRI, ADOBE}) | FRAMES  # Adobe's segment defines the colour coding
# Decoding a scan touches the whole picture, also if the scan is small. Cameras write 1, progressive files 10.
MOST_SCANS = 64
AFTER_SCAN = re.compile(rb"\xff+([^\x00\xd0-\xd7\xff])")


class Skeleton(NamedTuple):
    content: bytes
    width: int
    height: int
    orientation: int


def skeleton_of(content: bytes) -> Skeleton:
    """Returns the reduced file. Raises FileProblem if it is truncated, or built to keep a decoder busy."""
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
            raise FileProblem(Reason.BOMB, "This JPEG has an unusual structure. Take the photograph again.")
        position = after
    if size is None or scans == 0:
        raise unreadable("JPEG")
    return Skeleton(b"".join(kept) + b"\xff\xd9", *size, orientation)


def next_marker(content: bytes, position: int) -> tuple[int, int]:
    """Returns the marker at `position` and where its segment begins; skips fill bytes (0xFF)."""
    start = position
    while content[position : position + 1] == b"\xff":
        position += 1
    if position == start or position >= len(content):
        raise unreadable("JPEG")
    return content[position], position + 1


def segment_at(content: bytes, position: int) -> tuple[bytes, int]:
    """Returns the segment's data without its length, and where it ends."""
    length = int.from_bytes(content[position : position + 2], "big")
    end = position + length
    if length < 2 or end > len(content):
        raise unreadable("JPEG")
    return content[position + 2 : end], end


def end_of_scan(content: bytes, position: int) -> int:
    """Returns where the next marker begins that is neither a stuffed byte nor a restart."""
    found = AFTER_SCAN.search(content, position)
    if found is None:
        raise unreadable("JPEG")
    return found.end() - 2


def size_in_frame(frame: bytes) -> tuple[int, int]:
    if len(frame) < 6:
        raise unreadable("JPEG")
    return int.from_bytes(frame[3:5], "big"), int.from_bytes(frame[1:3], "big")
