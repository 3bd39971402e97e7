"""A photograph or a scan, decoded whole and encoded anew: nothing but its pixels comes out."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from threading import Lock

from PIL import Image

from kyc.files import jpeg, kinds, png
from kyc.files.refusal import Reason, Refused, unreadable

MOST_PIXELS = 30_000_000  # 90 MB decoded; a telephone's camera has 12 to 25 million
FEWEST_PIXELS_A_SIDE = 200
JPEG_QUALITY = 90
PNG_EFFORT = 3  # noise in black and white, 30 million pixels: 1 s instead of 2.6 s, 15 % larger
# What EXIF's orientations 2 to 8 ask for.
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# What Pillow raises for files that are damaged, or made to look so.
BROKEN = (
    *(OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, EOFError, OverflowError),
    *(struct.error, zlib.error, MemoryError, Image.DecompressionBombError, UserWarning),
)


# The largest picture takes 340 MB for half a second: not as many at once as a web process has threads.
one_at_a_time = Lock()


def redrawn(content: bytes, kind: str) -> bytes:
    """The same picture, upright, in the same format, without metadata. Raises Refused."""
    skeleton = jpeg.skeleton_of(content) if kind == kinds.JPEG else png.skeleton_of(content)
    refuse_size(skeleton.width, skeleton.height)
    turn = TURNS.get(skeleton.orientation)
    with one_at_a_time:
        picture = decoded(skeleton, kinds.NAMES[kind])
        return encoded(picture.transpose(turn) if turn is not None else picture, kind)


def refuse_size(width: int, height: int) -> None:
    """Asked before decoding: a kilobyte may claim to hold a gigabyte of pixels."""
    if width * height > MOST_PIXELS:
        most = MOST_PIXELS // 1_000_000
        raise Refused(
            Reason.BOMB,
            f"This picture has more than {most} million pixels. Make it smaller, then send it again.",
        )
    if min(width, height) < FEWEST_PIXELS_A_SIDE:
        raise Refused(
            Reason.EMPTY,
            f"This picture is smaller than {FEWEST_PIXELS_A_SIDE} by {FEWEST_PIXELS_A_SIDE} pixels: "
            "nothing could be read on it. Send a larger one.",
        )


def decoded(skeleton: jpeg.Skeleton | png.Skeleton, name: str) -> Image.Image:
    """Every pixel of it, as grey or RGB. What Pillow sees of its size must be what was measured."""
    try:
        with Image.open(BytesIO(skeleton.content), formats=[name]) as picture:
            if picture.size != (skeleton.width, skeleton.height):
                raise unreadable(name)
            picture.load()
            return opaque(picture)
    except BROKEN:
        raise unreadable(name) from None


def opaque(picture: Image.Image) -> Image.Image:
    """On white where it was transparent; sixteen bits a channel become eight."""
    if picture.mode in ("1", "L"):
        return picture.convert("L")
    if picture.mode.startswith("I"):
        return picture.convert("I").point(lambda value: value * (1 / 256)).convert("L")
    if "A" in picture.mode or "transparency" in picture.info:
        layers = picture.convert("RGBA")
        white = Image.new("RGB", layers.size, "white")
        white.paste(layers, mask=layers.getchannel("A"))
        return white
    return picture.convert("RGB")


def encoded(picture: Image.Image, kind: str) -> bytes:
    result = BytesIO()
    picture.info.clear()  # Pillow would write a comment or a profile from here
    if kind == kinds.JPEG:
        picture.save(result, "JPEG", quality=JPEG_QUALITY)
    else:
        picture.save(result, "PNG", compress_level=PNG_EFFORT)
    return result.getvalue()
