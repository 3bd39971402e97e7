"""Tests that images keep their pixels and lose everything else."""

from __future__ import annotations

import struct
from io import BytesIO

import pytest
from PIL import Image

from kyc.files import images
from kyc.files.kinds import JPEG, PNG
from kyc.files.refusal import FileProblem, Reason
from kyc.files.tests import made


def opened(content: bytes) -> Image.Image:
    image = Image.open(BytesIO(content))
    image.load()
    return image


def refused(content: bytes, kind: str) -> FileProblem:
    with pytest.raises(FileProblem) as caught:
        images.redrawn(content, kind)
    return caught.value


@pytest.mark.parametrize(("content", "kind"), [(made.jpeg(), JPEG), (made.png(), PNG)])
def test_position_description_comment_and_profile_are_gone(content: bytes, kind: str) -> None:
    assert made.SECRET in content
    assert opened(content).getexif().get_ifd(0x8825)[1] == "N"

    result = images.redrawn(content, kind)

    assert made.SECRET not in result
    assert not opened(result).getexif()
    assert set(opened(result).info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}


@pytest.mark.parametrize("kind", [JPEG, PNG])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_turned_the_way_its_metadata_says(kind: str, orientation: int) -> None:
    content = made.jpeg(orientation, quality=95) if kind == JPEG else made.png(orientation)

    result = opened(images.redrawn(content, kind))

    turn = images.TURNS.get(orientation)
    expected = made.picture().transpose(turn) if turn is not None else made.picture()
    assert result.size == expected.size
    corners = [(5, 5), (result.width - 6, 5), (5, result.height - 6)]
    for corner in corners:
        shown, wanted = result.convert("RGB").getpixel(corner), expected.getpixel(corner)
        assert isinstance(shown, tuple)
        assert isinstance(wanted, tuple)
        assert max(abs(a - b) for a, b in zip(shown, wanted, strict=True)) < 12


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "I;16"])
def test_every_kind_of_png_becomes_grey_or_rgb(mode: str) -> None:
    if mode == "I;16":
        content = BytesIO()
        Image.new("I;16", made.SIZE, 40_000).save(content, "PNG")
        result = opened(images.redrawn(content.getvalue(), PNG))
        assert (result.mode, result.getpixel((9, 9))) == ("L", 40_000 >> 8)
    else:
        result = opened(images.redrawn(made.png(mode=mode), PNG))
        assert result.mode == ("L" if mode in ("1", "L") else "RGB")
    assert result.size == made.SIZE


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_grey_and_printed_jpegs_are_taken(mode: str) -> None:
    result = opened(images.redrawn(made.jpeg(mode=mode), JPEG))

    assert (result.mode, result.size) == ("L" if mode == "L" else "RGB", made.SIZE)


def test_progressive_jpegs_are_taken() -> None:
    assert opened(images.redrawn(made.jpeg(progressive=True), JPEG)).size == made.SIZE


def test_what_is_transparent_becomes_white() -> None:
    clear, content = Image.new("RGBA", made.SIZE, (0, 0, 0, 0)), BytesIO()
    clear.save(content, "PNG")

    assert opened(images.redrawn(content.getvalue(), PNG)).getpixel((9, 9)) == (255, 255, 255)


@pytest.mark.parametrize(("content", "kind"), [(made.apng(), PNG), (made.mpo(), JPEG)])
def test_of_several_pictures_in_one_file_only_the_first_is_kept(content: bytes, kind: str) -> None:
    assert getattr(Image.open(BytesIO(content)), "n_frames") == 2  # noqa: B009  (not every format has it)

    result = opened(images.redrawn(content, kind))

    assert getattr(result, "n_frames", 1) == 1
    corner = result.getpixel((5, 5))
    assert isinstance(corner, tuple)
    assert corner[0] > 200  # red: the first one, not the one upside down
    assert corner[1] < 60


@pytest.mark.parametrize(("content", "kind"), [(made.jpeg(), JPEG), (made.png(), PNG)])
def test_what_follows_the_end_is_gone(content: bytes, kind: str) -> None:
    assert b"tail" not in images.redrawn(content + b"tail" * 100, kind)


@pytest.mark.parametrize(("content", "kind"), [(made.jpeg(), JPEG), (made.png(), PNG)])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.9, 0.999])
def test_a_picture_that_breaks_off_is_refused(content: bytes, kind: str, share: float) -> None:
    assert refused(content[: int(len(content) * share)], kind).reason == Reason.UNREADABLE


def test_a_png_whose_data_end_too_soon_is_refused() -> None:
    content = made.png()
    start = content.index(b"IDAT") - 4
    length = struct.unpack(">I", content[start : start + 4])[0]
    half = made.chunk(b"IDAT", content[start + 8 : start + 8 + length // 2])

    assert refused(content[:start] + half + made.chunk(b"IEND", b""), PNG).reason == Reason.UNREADABLE


def test_a_changed_byte_in_a_png_is_seen() -> None:
    content = bytearray(made.png())
    content[content.index(b"IDAT") + 50] ^= 1

    assert refused(bytes(content), PNG).reason == Reason.UNREADABLE


def test_a_png_that_claims_a_gigabyte_of_pixels_is_refused_before_decoding() -> None:
    content = (
        made.png_header(60_000, 60_000)
        + made.chunk(b"IDAT", made.deflated_zeros(2**20))
        + made.chunk(b"IEND", b"")
    )

    assert len(content) < 2_000
    assert refused(content, PNG).reason == Reason.BOMB


def test_a_jpeg_that_claims_a_gigabyte_of_pixels_is_refused_before_decoding() -> None:
    content = bytearray(made.jpeg())
    frame = content.index(b"\xff\xc0")
    content[frame + 5 : frame + 9] = struct.pack(">HH", 60_000, 60_000)

    assert refused(bytes(content), JPEG).reason == Reason.BOMB


def test_pixels_beyond_those_that_the_header_names_are_never_inflated() -> None:
    data = made.deflated_zeros(128 * 2**20)
    content = made.png_header(320, 240) + made.chunk(b"IDAT", data) + made.chunk(b"IEND", b"")

    assert opened(images.redrawn(content, PNG)).size == (320, 240)


@pytest.mark.parametrize("kind", [b"zTXt", b"iCCP"])
def test_texts_and_profiles_are_never_inflated(kind: bytes) -> None:
    bomb = b"name\x00\x00" + made.deflated_zeros(64 * 2**20)

    result = images.redrawn(made.with_chunk(made.png(), kind, bomb), PNG)

    assert opened(result).size == made.SIZE
    assert kind not in result


def test_a_jpeg_with_a_thousand_scans_is_refused() -> None:
    content = made.jpeg(progressive=True)
    start = content.index(b"\xff\xda")
    scan = content[start : content.index(b"\xff", start + 20)]

    assert refused(content[:start] + scan * 1_000 + content[start:], JPEG).reason == Reason.BOMB


@pytest.mark.parametrize("size", [(1, 1), (199, 400), (400, 199)])
def test_a_picture_too_small_to_show_anything_is_refused(size: tuple[int, int]) -> None:
    for name in ("JPEG", "PNG"):
        content = BytesIO()
        made.picture(size).save(content, name)
        assert refused(content.getvalue(), f"image/{name.lower()}").reason == Reason.EMPTY


@pytest.mark.parametrize(
    "content",
    [b"\xff\xd8\xff", b"\xff\xd8\xff\xd9", b"\xff\xd8\xff\xe0\x00\x00", b"\xff\xd8" + b"\xff" * 1_000_000],
)
def test_a_jpeg_of_nothing_but_its_beginning_is_refused(content: bytes) -> None:
    assert refused(content, JPEG).reason == Reason.UNREADABLE


def test_a_png_without_pixels_is_refused() -> None:
    assert refused(made.png_header(320, 240) + made.chunk(b"IEND", b""), PNG).reason == Reason.UNREADABLE
    assert refused(b"\x89PNG\r\n\x1a\n" + made.chunk(b"IEND", b""), PNG).reason == Reason.UNREADABLE


def test_pixels_in_another_size_than_measured_are_refused() -> None:
    """A second frame header would draw another picture than the one that was looked at."""
    content = made.jpeg()
    frame = content.index(b"\xff\xc0")
    length = struct.unpack(">H", content[frame + 2 : frame + 4])[0]
    second = content[frame : frame + 2 + length]

    assert refused(content[:frame] + second + content[frame:], JPEG).reason == Reason.UNREADABLE
