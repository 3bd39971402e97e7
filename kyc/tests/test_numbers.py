# ruff: noqa: RUF001  (characters that look like others are what this is about)
"""Every way to write a document number is stored in one form; what is not a number is refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from kyc.cases import numbers
from kyc.cases.numbers import Identity
from kyc.document_types import KINDS, described
from kyc.errors import WrongCountry, WrongDocumentType, WrongNumber
from kyc.models import DocumentType


def number(text: str, document_type: str = "passport", country: str = "NG") -> str:
    return numbers.identity_of(document_type=document_type, country=country, number=text).number


@pytest.mark.parametrize(
    "text",
    [
        "A12345678",
        "a12345678",
        " A 1234 5678 ",
        "A-1234-5678",
        "A–1234—5678",
        "A\u00a01234\u20095678",
        "A/12345678.",
        "A１２３４５６７８",
        "Ａ12345678",
        "A١٢٣٤٥٦٧٨",
        "A१२३४५६७८",
        "A𝟏𝟐𝟑𝟒𝟓𝟔𝟕𝟖",
        "A12345678\r\n",
    ],
)
def test_spellings_of_one_number_are_one_number(text: str) -> None:
    assert number(text) == "A12345678"


@pytest.mark.parametrize(
    "text",
    [
        "A1234\u200b5678",  # zero-width space
        "A1234\u200d5678",  # zero-width joiner
        "\u202eA12345678",  # right-to-left override
        "A12345678\u2069",  # end of an isolate
        "A1234\x005678",
        "A1234\x1b5678",
        "A1234\n5678",
        "A1234\ufeff5678",  # byte order mark
        "A1234\u00ad5678",  # soft hyphen
        "A1234\ue0005678",  # private use
        "А12345678",  # begins with a Cyrillic letter
        "A12345678\u0301",  # combining accent
        "A1234567\u17b4",  # a vowel that is not drawn
        "A1234567",
        "A123456789",
        "AB2345678",
        "12345678A",
        "",
        "   ",
        "-/.",
        "A12345678; DROP TABLE kyc_case",
        "A" * 65,
        "ﷺ" * 64,  # eighteen characters each once it is normalised
    ],
)
def test_what_only_looks_like_a_number_is_refused(text: str) -> None:
    with pytest.raises(WrongNumber) as refusal:
        number(text)
    assert set(refusal.value.fields) == {"number"}
    assert len(text) < 5 or text not in str(refusal.value)


@pytest.mark.parametrize(
    ("document_type", "country", "right", "wrong"),
    [
        ("nin", "NG", "12345678901", "1234567890"),
        ("bvn", "NG", "22345678901", "2234567890A"),
        ("passport", "NG", "A12345678", "123456789"),
        ("passport", "DE", "C01X00T47", "C01X"),
        ("drivers_licence", "NG", "ABC12345AB01", "AB12345AB012"),
        ("drivers_licence", "GH", "GH12345", "GH1"),
        ("voters_card", "NG", "90F5B1C2D3E4F5A6B7C", "90F5B1C2D3E4F5A6B7"),
        ("voters_card", "KE", "12345", "1234"),
        ("national_id", "KE", "12345678", "1234"),
    ],
)
def test_each_type_has_its_own_numbers(document_type: str, country: str, right: str, wrong: str) -> None:
    assert number(right, document_type, country) == right
    with pytest.raises(WrongNumber):
        number(wrong, document_type, country)


@pytest.mark.parametrize("document_type", ["nin", "bvn"])
def test_some_documents_exist_in_one_country_only(document_type: str) -> None:
    with pytest.raises(WrongCountry):
        number("12345678901", document_type, "GH")


@pytest.mark.parametrize("country", ["", "N", "XX", "NGA", "ＮＧ", "N\u200bG", "\x00\x00"])
def test_a_country_has_to_exist(country: str) -> None:
    with pytest.raises(WrongCountry):
        number("A12345678", country=country)


def test_a_type_has_to_exist() -> None:
    with pytest.raises(WrongDocumentType):
        number("A12345678", "library_card")


def test_a_hash_depends_on_type_country_number_and_key(settings: Any) -> None:
    identity = Identity(DocumentType.PASSPORT, "NG", "A12345678")

    def hashed(identity: Identity) -> str:
        return numbers.hash_number(**identity._asdict())

    seen = {
        hashed(identity),
        hashed(identity._replace(document_type=DocumentType.NATIONAL_ID)),
        hashed(identity._replace(country="GH")),
        hashed(identity._replace(number="A12345679")),
    }
    settings.KYC_SEARCH_KEY = "another key"
    seen.add(hashed(identity))
    assert len(seen) == 5
    assert {len(value) for value in seen} == {64}


def test_a_nin_is_known_again_on_the_national_id_card_that_bears_it() -> None:
    def hashed(document_type: str, country: str, number: str) -> str:
        return numbers.hash_number(document_type=document_type, country=country, number=number)

    nin = hashed("nin", "NG", "12345678901")
    assert hashed("national_id", "NG", "12345678901") == nin
    assert nin not in {
        hashed("bvn", "NG", "12345678901"),
        hashed("national_id", "GH", "12345678901"),
        hashed("national_id", "NG", "AB345678901"),
    }


def test_operators_find_a_number_without_saying_what_it_is() -> None:
    wanted = numbers.hash_number(document_type="passport", country="NG", number="A12345678")
    assert wanted in numbers.hashes_of("a 1234 5678")
    assert numbers.hashes_of("a1") == set()


@pytest.mark.parametrize(("text", "shown"), [("A12345678", "678"), ("12345678901", "901"), ("AB123", "3")])
def test_little_is_shown_of_a_number(text: str, shown: str) -> None:
    assert numbers.last_of(text) == shown
    assert numbers.last_of("90F5B1C2D3E4F5A6B7C") == "6B7C"


@hypothesis_settings(max_examples=50)
@given(st.text(max_size=70))
def test_any_text_is_a_number_in_plain_characters_or_refused(text: str) -> None:
    try:
        normal = numbers.normalise(text)
    except WrongNumber:
        return
    assert normal.isascii()
    assert normal == normal.upper()
    assert numbers.normalise(normal) == normal


def test_every_type_is_described() -> None:
    assert set(KINDS) == set(DocumentType)
    assert all(f"`{document_type.value}`" in described() for document_type in DocumentType)
