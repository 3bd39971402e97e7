"""Defines each type of document: the format of its number and the required images."""

from __future__ import annotations

import re
from typing import NamedTuple

from kyc.models import DocumentType, Side


class Kind(NamedTuple):
    """`patterns`: country → regular expression for a normalised number; "" is for all other countries."""

    patterns: dict[str, str]
    looks_like: str
    images: tuple[Side, ...]
    name: str


ANY = ""
KINDS = {
    DocumentType.NIN: Kind({"NG": r"\d{11}"}, "11 digits (Nigeria)", (Side.SELFIE,), "NIN"),
    DocumentType.BVN: Kind({"NG": r"\d{11}"}, "11 digits (Nigeria)", (Side.SELFIE,), "BVN"),
    DocumentType.PASSPORT: Kind(
        {"NG": r"[A-Z]\d{8}", ANY: r"[A-Z0-9]{5,20}"},
        "Nigeria: a letter and 8 digits; others: 5 to 20 letters and digits",
        (Side.FRONT, Side.SELFIE),
        "passport",
    ),
    DocumentType.DRIVERS_LICENCE: Kind(
        {"NG": r"[A-Z]{3}[A-Z0-9]{6,12}", ANY: r"[A-Z0-9]{5,20}"},
        "Nigeria: 3 letters, then 6 to 12 letters and digits; others: 5 to 20 letters and digits",
        (Side.FRONT, Side.BACK, Side.SELFIE),
        "driver's licence",
    ),
    DocumentType.VOTERS_CARD: Kind(
        {"NG": r"[A-Z0-9]{19}", ANY: r"[A-Z0-9]{5,25}"},
        "Nigeria: the VIN, 19 letters and digits; others: 5 to 25 letters and digits",
        (Side.FRONT, Side.BACK, Side.SELFIE),
        "voter's card",
    ),
    DocumentType.NATIONAL_ID: Kind(
        {ANY: r"[A-Z0-9]{5,20}"},
        "5 to 20 letters and digits",
        (Side.FRONT, Side.BACK, Side.SELFIE),
        "national id",
    ),
}


def pattern_for(document_type: DocumentType, country: str) -> re.Pattern[str] | None:
    """Returns the pattern of a number, or None if the country has no such document."""
    patterns = KINDS[document_type].patterns
    pattern = patterns.get(country) or patterns.get(ANY)
    return re.compile(pattern, re.ASCII) if pattern else None


def missing_images(document_type: DocumentType, present: set[Side]) -> list[str]:
    return [str(side) for side in KINDS[document_type].images if side not in present]


def described() -> str:
    """Returns a Markdown table of the types, their numbers and images for the API's description."""
    rows = [
        f"| `{document_type.value}` | {kind.looks_like} | {', '.join(kind.images)} |"
        for document_type, kind in KINDS.items()
    ]
    return "\n".join(["| document_type | number | images needed |", "|---|---|---|", *rows])
