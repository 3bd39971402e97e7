"""Decodes and re-encodes a photograph or scan, so that only its pixels are kept.

Runs in its own process (process.py): a small file can need hundreds of MB.
"""

from __future__ import annotations

import struct
import zlib
from io import BytesIO

from PIL import Image

from kyc.files import jpeg, kinds, png
from kyc.files.refusal import FileProblem, Reason, unreadable

MOST_PIXELS = 30_000_000  # 90 MB decoded; a telephone's camera has 12 to 25 million
FEWEST_PIXELS_A_SIDE = 200
JPEG_QUALITY = 90
PNG_EFFORT = 3  # noise in black and white, 30 million pixels: 1 s instead of 2.6 s, 15 % larger
# The transformations for EXIF's orientations 2 to 8.
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Errors that Pillow raises for damaged or malicious files.
BROKEN = (
    *(OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, EOFError, OverflowError),
    *(struct.error, zlib.error, MemoryError, Image.DecompressionBombError, UserWarning),
)


def redrawn(content: bytes, kind: str) -> bytes:
    """Returns the picture upright, in the same format, without metadata. Raises FileProblem."""
    skeleton = jpeg.skeleton_of(content) if kind == kinds.JPEG else png.skeleton_of(content)
    refuse_size(skeleton.width, skeleton.height)
    turn = TURNS.get(skeleton.orientation)
    picture = decoded(skeleton, kinds.NAMES[kind])
    return encoded(picture if turn is None else picture.transpose(turn), kind)


def refuse_size(width: int, height: int) -> None:
    """Raises FileProblem for wrong sizes; before decoding, because a small file can have huge pictures."""
    if width * height > MOST_PIXELS:
        most = MOST_PIXELS // 1_000_000
        raise FileProblem(
            Reason.BOMB,
            f"This picture has more than {most} million pixels. Make it smaller, then send it again.",
        )
    if min(width, height) < FEWEST_PIXELS_A_SIDE:
        raise FileProblem(
            Reason.EMPTY,
            f"This picture is smaller than {FEWEST_PIXELS_A_SIDE} by {FEWEST_PIXELS_A_SIDE} pixels: "
            "it is not readable. Send a larger one.",
        )


def decoded(skeleton: jpeg.Skeleton | png.Skeleton, name: str) -> Image.Image:
    """Returns the pixels as grey or RGB. Raises FileProblem if it is damaged or its size differs from the
    header's."""
    try:
        with Image.open(BytesIO(skeleton.content), formats=[name]) as picture:
            if picture.size != (skeleton.width, skeleton.height):
                raise unreadable(name)
            picture.load()
            return opaque(picture)
    except BROKEN:
        raise unreadable(name) from None


def opaque(picture: Image.Image) -> Image.Image:
    """Returns the picture with white for transparency and 8 bits a channel."""
    if picture.mode.startswith("I"):
        return in_mode(in_mode(picture, "I").point(lambda value: value * (1 / 256)), "L")
    if "A" in picture.mode or "transparency" in picture.info:
        layers = in_mode(picture, "RGBA")
        white = Image.new("RGB", layers.size, "white")
        white.paste(layers, mask=layers.getchannel("A"))
        return white
    return in_mode(picture, "L" if picture.mode in ("1", "L") else "RGB")


def in_mode(picture: Image.Image, mode: str) -> Image.Image:
    """Returns the picture in that mode. Pillow's `convert` would copy one that has it already."""
    return picture if picture.mode == mode else picture.convert(mode)


def encoded(picture: Image.Image, kind: str) -> bytes:
    result = BytesIO()
    picture.info.clear()  # Pillow would write comments and profiles from here
    if kind == kinds.JPEG:
        picture.save(result, "JPEG", quality=JPEG_QUALITY)
    else:
        picture.save(result, "PNG", compress_level=PNG_EFFORT)
    return result.getvalue()
