"""Draws specimen documents and faces. The same input gives the same bytes."""

from __future__ import annotations

import hashlib
from io import BytesIO

from PIL import Image, ImageDraw, ImageFont

from kyc.models import DocumentType, Side

CARD = (640, 404)  # pixels, the proportions of a bank card
SELFIE = (420, 520)
INK = "#1f2937"
PAPER = {
    DocumentType.NIN: "#e5f3ea",
    DocumentType.BVN: "#e6ecf7",
    DocumentType.PASSPORT: "#e3efe2",
    DocumentType.DRIVERS_LICENCE: "#f7efdf",
    DocumentType.VOTERS_CARD: "#efe6f5",
    DocumentType.NATIONAL_ID: "#e2f0f3",
}
SKINS = ("#5b3a29", "#6f4630", "#83563a", "#4a2f22", "#96694a", "#e0b493")
SHIRTS = ("#b45309", "#1d4ed8", "#15803d", "#9d174d", "#4338ca", "#0f766e")


def picture(side: Side, kind: DocumentType, country: str, name: str, number: str) -> bytes:
    match side:
        case Side.SELFIE:
            return selfie(name, number)
        case Side.FRONT:
            return front(kind, country, name, number)
        case _:
            return back(kind, number)


def selfie(name: str, number: str) -> bytes:
    """Draws a face before a background whose colour depends on the number."""
    red, green, blue = (180 + byte % 60 for byte in digest(number)[:3])
    image = Image.new("RGB", SELFIE, (red, green, blue))
    draw_person(ImageDraw.Draw(image), name, (0, 0, *SELFIE))
    return jpeg(image)


def front(kind: DocumentType, country: str, name: str, number: str) -> bytes:
    image = Image.new("RGB", CARD, PAPER[kind])
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, CARD[0], 64), fill=INK)
    draw.text((24, 18), f"{kind.label.upper()}   {country}", "white", font(26))
    draw.rectangle((24, 92, 224, 340), fill="#f8fafc", outline=INK)
    draw_person(draw, name, (24, 92, 224, 340))
    given, _, surname = name.rpartition(" ")
    rows = (("Surname", surname), ("Given names", given), ("Number", number), ("Nationality", country))
    for place, (label, value) in enumerate(rows):
        draw.text((256, 92 + place * 64), label, "#6b7280", font(15))
        draw.text((256, 111 + place * 64), value, INK, font(25))
    stamp(image)
    return jpeg(image)


def back(kind: DocumentType, number: str) -> bytes:
    image = Image.new("RGB", CARD, PAPER[kind])
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 40, CARD[0], 104), fill="#111827")
    for place, byte in enumerate(digest(number) + digest(number[::-1])):
        left = 24 + place * 9
        draw.rectangle((left, 230, left + 1 + byte % 6, 330), fill=INK)
    draw.text((24, 344), f"<<{number}<<<SPECIMEN<<<", INK, font(22))
    stamp(image)
    return jpeg(image)


def draw_person(draw: ImageDraw.ImageDraw, name: str, box: tuple[int, int, int, int]) -> None:
    """Draws head and shoulders inside `box` (left, top, right, bottom)."""
    left, top, right, bottom = box
    width, height = right - left, bottom - top
    skin, shirt = choice(name, SKINS, 0), choice(name, SHIRTS, 1)
    middle = left + width // 2
    radius = width * (20 + digest(name)[2] % 4) // 100
    draw.pieslice(
        (left + width // 10, top + height * 2 // 3, right - width // 10, bottom + height // 3),
        180,
        360,
        shirt,
    )
    draw.rectangle(
        (middle - radius // 3, top + height // 2, middle + radius // 3, top + height * 3 // 4), fill=skin
    )
    draw.ellipse((middle - radius, top + height // 5, middle + radius, top + height * 3 // 5), fill=skin)
    draw.chord((middle - radius, top + height // 6, middle + radius, top + height // 2), 180, 360, "#18120e")


def stamp(image: Image.Image) -> None:
    """Writes SPECIMEN across the card, so that it can't be used as a real one."""
    words = Image.new("RGBA", CARD)
    ImageDraw.Draw(words).text((110, 150), "SPECIMEN", (185, 28, 28, 90), font(96))
    image.paste(words.rotate(18), mask=words.rotate(18))


def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def digest(words: str) -> bytes:
    return hashlib.sha256(words.encode()).digest()


def choice(name: str, options: tuple[str, ...], place: int) -> str:
    return options[digest(name)[place] % len(options)]


def jpeg(image: Image.Image) -> bytes:
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=72)
    return buffer.getvalue()
