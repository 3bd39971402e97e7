"""Normalises document numbers, so that the same number always has the same hash.

Full-width and Arabic-Indic digits, hyphens and spaces are normalised. Invisible characters (control,
zero-width and direction characters) are refused and not removed, because they are used to deceive.
"""

from __future__ import annotations

import hmac
import unicodedata
from typing import NamedTuple

import pycountry
from django.conf import settings

from kyc.document_types import KINDS, pattern_for
from kyc.errors import WrongCountry, WrongDocumentType, WrongNumber
from kyc.models import DocumentType


class Identity(NamedTuple):
    """Identifies a document. `number` is normalised; it must not be in logs or messages."""

    document_type: DocumentType
    country: str
    number: str


LONGEST_INPUT = 64
SEPARATORS = frozenset(" -/.")
DASH = "Pd"  # the category of all hyphens and dashes; word processors make long ones
SHOWN = 4
COUNTRIES = frozenset(country.alpha_2 for country in pycountry.countries)


def identity_of(*, document_type: str, country: str, number: str) -> Identity:
    """Validates and normalises the input. Raises WrongDocumentType, WrongCountry or WrongNumber."""
    kind = document_type_of(document_type)
    code = country_of(country)
    return Identity(kind, code, number_from(document_type=kind, country=code, text=number))


def document_type_of(text: str) -> DocumentType:
    try:
        return DocumentType(text)
    except ValueError:
        raise WrongDocumentType(f"Use one of {', '.join(DocumentType.values)}.") from None


def country_of(text: str) -> str:
    country = text.strip().upper()
    if country not in COUNTRIES:
        raise WrongCountry("Use an ISO 3166-1 alpha-2 code, for example NG.")
    return country


def number_from(*, document_type: DocumentType, country: str, text: str) -> str:
    """Returns the normalised number.

    Raises WrongNumber if it does not match the document, WrongCountry if the country has no such document.
    """
    pattern = pattern_for(document_type, country)
    if pattern is None:
        raise WrongCountry(f"This country has no {KINDS[document_type].name}.")
    number = normalise(text)
    if not pattern.fullmatch(number):
        raise WrongNumber(
            f"This is not a {KINDS[document_type].name} number. Expected: {looks(document_type)}."
        )
    return number


def looks(document_type: DocumentType) -> str:
    return KINDS[document_type].looks_like


def normalise(text: str) -> str:
    """Returns the text in ASCII upper case without separators. Raises WrongNumber."""
    if len(text) > LONGEST_INPUT:
        raise WrongNumber(f"A number has at most {LONGEST_INPUT} characters.")
    if any(unicodedata.category(character).startswith("C") for character in text.strip("\r\n\t ")):
        raise WrongNumber("It contains invisible characters. Type it instead of pasting it.")
    folded = "".join(fold(character) for character in unicodedata.normalize("NFKC", text.strip()))
    if not folded.isascii():
        raise WrongNumber("Use only digits and the letters A to Z.")
    return "".join(character for character in folded if character not in SEPARATORS).upper()


def fold(character: str) -> str:
    if unicodedata.category(character) == DASH:
        return "-"
    digit = unicodedata.decimal(character, None)
    return character if digit is None else str(digit)


def hash_number(*, document_type: str, country: str, number: str) -> str:
    """Returns the keyed hash by which a number is found. Without the key, all numbers could be tried."""
    message = f"{hashed_type(document_type, country, number)}|{country}|{number}".encode()
    return hmac.digest(settings.KYC_SEARCH_KEY.encode(), message, "sha256").hex()


def hashed_type(document_type: str, country: str, number: str) -> str:
    """Returns the type for the hash: Nigeria's national id card has the NIN, so it is hashed as a NIN."""
    is_nin = document_type == DocumentType.NATIONAL_ID and fits(DocumentType.NIN, country, number)
    return DocumentType.NIN if is_nin else document_type


def last_of(number: str) -> str:
    """Returns the last characters, which may be shown: four, fewer for a short number."""
    return number[-min(SHOWN, len(number) // 3) :]


def hashes_of(text: str) -> set[str]:
    """Returns the hashes of the number for every type and country that it fits. Raises WrongNumber.

    An operator searches a number without type and country.
    """
    number = normalise(text)
    return {
        hash_number(document_type=document_type, country=country, number=number)
        for document_type in DocumentType
        for country in COUNTRIES
        if fits(document_type, country, number)
    }


def fits(document_type: DocumentType, country: str, number: str) -> bool:
    pattern = pattern_for(document_type, country)
    return bool(pattern and pattern.fullmatch(number))
