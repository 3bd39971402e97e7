"""Document numbers: one spelling for each, so that what is the same number has the same hash.

People paste full-width and Arabic-Indic digits, hyphens and spaces: those are folded. What nobody sees
(control, zero-width and direction characters) is refused and not repaired, for it is there to deceive.
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
    """Which document somebody claims. The number is its one spelling; it belongs in no log or message."""

    document_type: DocumentType
    country: str
    number: str


LONGEST_INPUT = 64
SEPARATORS = frozenset(" -/.")
DASH = "Pd"  # the category of all hyphens and dashes; word processors make long ones
SHOWN = 4
COUNTRIES = frozenset(country.alpha_2 for country in pycountry.countries)


def identity_of(*, document_type: str, country: str, number: str) -> Identity:
    """Raises WrongDocumentType, WrongCountry or WrongNumber."""
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
    """The number's one spelling. Raises WrongNumber when it can't be a number of that document."""
    pattern = pattern_for(document_type, country)
    if pattern is None:
        raise WrongCountry(f"There is no {KINDS[document_type].name} in that country.")
    number = normalise(text)
    if not pattern.fullmatch(number):
        raise WrongNumber(
            f"This is not a {KINDS[document_type].name} number. Expected: {looks(document_type)}."
        )
    return number


def looks(document_type: DocumentType) -> str:
    return KINDS[document_type].looks_like


def normalise(text: str) -> str:
    """Compatibility forms and foreign digits as ASCII, separators dropped, upper case."""
    if len(text) > LONGEST_INPUT:
        raise WrongNumber(f"A number has at most {LONGEST_INPUT} characters.")
    if any(unicodedata.category(character).startswith("C") for character in text.strip("\r\n\t ")):
        raise WrongNumber("It holds characters that can't be seen. Type it instead of pasting it.")
    folded = "".join(fold(character) for character in unicodedata.normalize("NFKC", text.strip()))
    if not folded.isascii():
        raise WrongNumber("Only digits and the letters A to Z can stand in a number.")
    return "".join(character for character in folded if character not in SEPARATORS).upper()


def fold(character: str) -> str:
    if unicodedata.category(character) == DASH:
        return "-"
    digit = unicodedata.decimal(character, None)
    return character if digit is None else str(digit)


def hash_number(*, document_type: str, country: str, number: str) -> str:
    """Finds a number again without keeping it readable. The key keeps others from trying all numbers."""
    message = f"{register_of(document_type, country, number)}|{country}|{number}".encode()
    return hmac.digest(settings.KYC_SEARCH_KEY.encode(), message, "sha256").hex()


def register_of(document_type: str, country: str, number: str) -> str:
    """Whose number it is. Nigeria's national id card bears the NIN: two names for one claim."""
    is_nin = document_type == DocumentType.NATIONAL_ID and fits(DocumentType.NIN, country, number)
    return DocumentType.NIN if is_nin else document_type


def last_of(number: str) -> str:
    """What may be shown: four characters, fewer of a short number."""
    return number[-min(SHOWN, len(number) // 3) :]


def hashes_of(text: str) -> set[str]:
    """Every hash the number would have that an operator types without its type and country."""
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
