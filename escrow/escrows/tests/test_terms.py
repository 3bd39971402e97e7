"""Tests what people may write into terms: texts, amounts, currencies; and the canonical document."""

from __future__ import annotations

import unicodedata
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from escrow import escrows
from escrow.errors import AmountBelowFee, WrongAmount, WrongCurrency, WrongInput, WrongText
from escrow.escrows.terms import MilestoneDraft, canonical, hash_of
from escrow.escrows.tests.deals import books, draft, funded, make_party, proposed
from escrow.escrows.texts import is_unseen, text_from, title_from
from escrow.models import Escrow, EscrowTerms, FeeRule, LedgerTransfer

# --- Texts ---


@pytest.mark.parametrize(
    "title",
    [
        "A website",
        "Сайт для магазина",
        "Ιστοσελίδα",
        "网站 v2",
        "ウェブサイト Amani",
        "Ремонт iPhone",
        "M² of carpet",
        "Café № 5",
    ],
)
def test_titles_in_one_alphabet_are_kept(title: str) -> None:
    assert title_from(title, "title") == unicodedata.normalize("NFC", title)


@pytest.mark.parametrize(
    "title",
    [
        "\u0420ayPal",  # a Cyrillic er in a Latin word
        "Am\u0430ni",  # a Cyrillic a
        "\u0391mani",  # a Greek capital alpha
        "the \u0441\u043e\u0440 shop",  # a word of Cyrillic look-alikes beside Latin
        "\U0001d400mani",  # a mathematical bold A
        "\uff21mani",  # a full-width A
        "\u24b6mani",  # a circled A
        "\u13aamani",  # a Cherokee letter
    ],
)
def test_titles_that_imitate_another_alphabet_are_refused(title: str) -> None:
    with pytest.raises(WrongText) as refusal:
        title_from(title, "title")
    assert list(refusal.value.fields) == ["title"]


@pytest.mark.parametrize(
    "character",
    ["\x00", "\x07", "\x1b", "\x7f", "\u202e", "\u2066", "\u200b", "\u200d", "\ufeff", "\u00ad", "\u2028",
     "\ue000", "\U000e0041", "\u3164", "\u115f", "\ufdd0"],
)  # fmt: skip
def test_characters_that_no_person_sees_are_refused_everywhere(character: str) -> None:
    for check in (title_from, text_from):
        with pytest.raises(WrongText, match=f"U\\+{ord(character):04X}"):
            check(f"Pay{character}ment", "title")


def test_texts_are_composed_and_their_line_ends_are_one_kind() -> None:
    assert title_from("  Cafe\u0301 \t one ", "title") == "Caf\u00e9 one"
    assert text_from("Cafe\u0301\r\n\ttwo\rthree ", "terms") == "Caf\u00e9\n\ttwo\nthree"


def test_empty_and_long_texts_are_refused() -> None:
    for title in ("", "  \n ", "x" * 201):
        with pytest.raises(WrongText):
            title_from(title, "title")
    for text in ("x" * 20_001, "x" * 100_000):
        with pytest.raises(WrongText, match="20,000"):
            text_from(text, "terms")
    with pytest.raises(WrongText):
        text_from(" ", "terms", required=True)


@settings(max_examples=60)
@given(st.text(max_size=60))
def test_what_is_accepted_is_composed_visible_and_accepted_again(text: str) -> None:
    try:
        title = title_from(text, "title")
    except WrongText:
        return
    assert title == unicodedata.normalize("NFC", title) == title_from(title, "title")
    assert not any(is_unseen(character) for character in title)


# --- Terms ---

pytestmark = pytest.mark.django_db


def refused(error: type[WrongInput], field: str, **words: Any) -> None:
    """Proposes with these words: it is refused, the field is named, and nothing is stored."""
    amounts = words.pop("amounts", ())
    currency = words.pop("currency", "NGN")
    buyer, seller = make_party(), make_party()
    with pytest.raises(error) as refusal:
        escrows.propose(
            creator=buyer,
            role="buyer",
            currency=currency,
            draft=draft(*amounts, **words),
            other_id=seller.pk,
        )
    assert list(refusal.value.fields) == [field]
    assert refusal.value.code == error.code
    assert not Escrow.objects.exists()
    assert not EscrowTerms.objects.exists()


@pytest.mark.parametrize("amount", [0, -1, -(10**20), 1.5, 100.0, "100", None, True, 10**15, 10**30])
def test_an_amount_is_a_whole_number_of_minor_units_that_can_be_held(amount: Any) -> None:
    refused(WrongAmount, "milestones.1.amount_minor", amounts=(5_000_000, amount))


def test_the_milestones_together_can_be_held() -> None:
    refused(WrongAmount, "milestones", amounts=(4 * 10**14, 4 * 10**14))


@pytest.mark.parametrize("amounts", [(1,), (9_999,), (10_000,), (5_000, 5_000)])
def test_amounts_that_the_fee_would_use_up_are_refused(amounts: tuple[int, ...]) -> None:
    """The fee is at least NGN 100."""
    refused(AmountBelowFee, "milestones", amounts=amounts)


def test_an_amount_just_above_the_fee_is_taken() -> None:
    assert proposed(10_001, fee_payer="seller").escrow.due_minor == 10_001


@pytest.mark.parametrize("currency", ["", "ngn", "NAIRA", "XYZ", "EUR", "₦"])
def test_a_currency_needs_a_code_and_a_fee(currency: str) -> None:
    refused(WrongCurrency, "currency", currency=currency)


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ("milestones", {"milestones": []}),
        ("milestones", {"milestones": [MilestoneDraft("x", 10**6)] * 51}),
        ("fee_payer", {"fee_payer": "nobody"}),
        ("inspection_days", {"inspection_days": 0}),
        ("inspection_days", {"inspection_days": 91}),
        ("inspection_days", {"inspection_days": 1.5}),
    ],
)
def test_the_choice_that_is_wrong_is_named(field: str, words: dict[str, Any]) -> None:
    refused(WrongInput, field, **words)


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ("title", {"title": "\u202eevil"}),
        ("terms", {"terms": "\x00"}),
        ("milestones.0.title", {"milestones": [MilestoneDraft("\u0420ay", 10**6)]}),
        ("milestones.0.criteria", {"milestones": [MilestoneDraft("Pay", 10**6, "\u200b")]}),
    ],
)
def test_the_text_that_is_wrong_is_named(field: str, words: dict[str, Any]) -> None:
    refused(WrongText, field, **words)


def test_the_document_has_one_spelling() -> None:
    document = {"b": [1, {"d": "é", "c": 2}], "a": "x"}
    assert canonical(document) == '{"a":"x","b":[1,{"c":2,"d":"é"}]}'.encode()
    assert hash_of(document) == hash_of({"a": "x", "b": [1, {"c": 2, "d": "é"}]})


def test_two_escrows_with_equal_terms_have_different_hashes() -> None:
    """Agreeing to the terms of one is no agreement to the other."""
    assert proposed().terms_hash != proposed().terms_hash


def test_the_rule_of_the_time_of_the_proposal_counts() -> None:
    before = proposed()
    FeeRule.objects.create(currency="NGN", percent_basis_points=500, reason="Test")
    assert proposed(1_000_000).escrow.due_minor == 1_050_000
    assert before.escrow.due_minor == 10_150_000
    counter = escrows.counter_propose(
        actor=before.seller, public_id=before.escrow.public_id, draft=draft(1_000_000)
    )
    assert counter.due_minor == 1_050_000


@pytest.mark.parametrize(("currency", "due"), [("JPY", 10_200), ("KWD", 10_200), ("USD", 10_150)])
def test_currencies_with_no_two_and_three_digits(currency: str, due: int) -> None:
    for code in ("JPY", "KWD"):
        FeeRule.objects.create(currency=code, percent_basis_points=200, reason="Test")
    buyer, seller = make_party(), make_party()
    escrow = escrows.propose(
        creator=buyer, role="buyer", currency=currency, draft=draft(10_000), other_id=seller.pk
    )
    assert escrow.due_minor == due


@pytest.mark.parametrize("amount", [0, -5, 1.5, "5", None, True, 6_000_000, 10**30])
def test_a_part_is_a_whole_amount_below_the_rest(amount: Any) -> None:
    deal = funded()
    before = books(deal)
    with pytest.raises(WrongAmount) as refusal:
        escrows.release_partially(actor=deal.buyer, public_id=deal.first.public_id, amount_minor=amount)
    assert list(refusal.value.fields) == ["amount_minor"]
    assert books(deal) == before
    assert LedgerTransfer.objects.count() == 1
