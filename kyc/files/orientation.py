"""Reads the orientation of a photograph from its metadata (EXIF 2.3, tag 0x0112)."""

from __future__ import annotations

ORIENTATION = 0x0112
SHORT = 3
MOST_ENTRIES = 512
UPRIGHT = 1


def orientation_in_tiff(tiff: bytes) -> int:
    """Returns 1 to 8 from the first directory of a TIFF block; 1 if the value is missing or invalid."""
    order = {b"II*\x00": "little", b"MM\x00*": "big"}.get(tiff[:4])
    if order is None:
        return UPRIGHT

    def number(position: int, length: int) -> int:
        return int.from_bytes(tiff[position : position + length], "little" if order == "little" else "big")

    directory = number(4, 4)
    for index in range(min(number(directory, 2), MOST_ENTRIES)):
        entry = directory + 2 + 12 * index
        if number(entry, 2) == ORIENTATION and number(entry + 2, 2) == SHORT:
            value = number(entry + 8, 2)
            return value if 1 <= value <= 8 else UPRIGHT
    return UPRIGHT
