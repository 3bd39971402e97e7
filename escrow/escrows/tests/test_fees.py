"""Tests the arithmetic of fees: exact examples, and properties over all inputs."""

from __future__ import annotations

import re
from itertools import pairwise

from django.conf import settings
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from escrow.escrows.fees import FeePayer, Parts, Terms, divide, fee_for, parts_of, taken
from escrow.escrows.shipped import SHIPPED

AMOUNTS = st.integers(1, 10**14)
RULES = st.builds(
    lambda points, fixed, least, more: Terms(points, fixed, least, None if more is None else least + more),
    st.integers(0, 9_999),
    st.integers(0, 10**9),
    st.integers(0, 10**9),
    st.none() | st.integers(0, 10**9),
)
quick = hypothesis_settings(max_examples=80)
NAIRA = Terms(*next(rule[1:] for rule in SHIPPED if rule[0] == "NGN"))


def test_percentage_fixed_minimum_and_maximum() -> None:
    assert fee_for(10_000, Terms(150, 0, 0, None)) == 150
    assert fee_for(10_000, Terms(150, 25, 0, None)) == 175
    assert fee_for(10_000, Terms(150, 0, 151, None)) == 151
    assert fee_for(10_000, Terms(150, 0, 0, 149)) == 149
    assert fee_for(10_000, Terms(0, 0, 0, None)) == 0


def test_half_a_minor_unit_is_rounded_up() -> None:
    assert [fee_for(total, Terms(100, 0, 0, None)) for total in (49, 50, 149, 150)] == [0, 1, 1, 2]


def test_the_largest_remainder_gets_the_unit_that_is_left() -> None:
    assert divide(10, (1, 1, 1)) == [4, 3, 3]
    assert divide(10, (1, 2, 4)) == [1, 3, 6]
    assert divide(1, (1, 3)) == [0, 1]
    assert divide(0, (5, 5)) == [0, 0]


def test_the_buyer_pays_the_odd_unit_of_a_split_fee() -> None:
    assert parts_of((100,), 3, FeePayer.SPLIT) == Parts((2,), (1,))
    assert parts_of((100, 100), 3, FeePayer.SELLER) == Parts((0, 0), (2, 1))


@quick
@given(st.integers(0, 10**15), st.lists(st.integers(0, 10**14), min_size=1, max_size=50).filter(any))
def test_parts_add_up_and_are_at_most_a_unit_from_their_share(whole: int, weights: list[int]) -> None:
    parts = divide(whole, weights)
    total = sum(weights)
    assert sum(parts) == whole
    assert all(
        abs(part * total - whole * weight) < total for part, weight in zip(parts, weights, strict=True)
    )


@quick
@given(st.lists(AMOUNTS, min_size=1, max_size=50), RULES, st.sampled_from(FeePayer))
def test_a_fee_below_the_amounts_takes_no_more_than_each_milestone_has(
    amounts: list[int], rule: Terms, payer: FeePayer
) -> None:
    fee = min(fee_for(sum(amounts), rule), sum(amounts) - 1)  # terms.py refuses a higher one
    parts = parts_of(amounts, fee, payer)
    assert parts.total_minor == fee
    for amount, buyer, seller in zip(amounts, parts.buyer, parts.seller, strict=True):
        assert 0 <= buyer <= amount
        assert 0 <= seller <= amount
    if payer == FeePayer.SPLIT:
        assert 0 <= sum(parts.buyer) - sum(parts.seller) <= 1
    else:
        assert sum(parts.seller if payer == FeePayer.BUYER else parts.buyer) == 0


@quick
@given(AMOUNTS, AMOUNTS, RULES)
def test_a_fee_is_never_negative_nor_less_for_more(one: int, other: int, rule: Terms) -> None:
    less, more = sorted((one, other))
    assert 0 <= fee_for(less, rule) <= fee_for(more, rule)


@quick
@given(st.data(), AMOUNTS)
def test_what_releases_take_adds_up_to_the_fee(data: st.DataObject, amount: int) -> None:
    fee = data.draw(st.integers(0, amount))
    cuts = sorted(data.draw(st.lists(st.integers(0, amount), max_size=5)))
    steps = list(pairwise([0, *cuts, amount]))
    parts = [taken(fee, amount, after) - taken(fee, amount, before) for before, after in steps]
    assert sum(parts) == fee
    for part, (before, after) in zip(parts, steps, strict=True):
        assert 0 <= part <= after - before


def test_the_page_has_examples_that_are_true() -> None:
    page = (settings.BASE_DIR / "docs" / "escrow.md").read_text()
    rows = re.findall(r"^\| ([\d,. +]+) \| (buyer|seller|split) \| (.*) \|$", page, re.MULTILINE)
    assert len(rows) >= 7
    for amounts, payer, figures in rows:
        asked = kobo(amounts)
        fee = fee_for(sum(asked), NAIRA)
        parts = parts_of(asked, fee, FeePayer(payer))
        pays, gets = sum(asked) + sum(parts.buyer), sum(asked) - sum(parts.seller)
        shown = [kobo(figure) for figure in figures.split(" | ")]
        assert shown == [[fee], [*parts.buyer], [*parts.seller], [pays], [gets]], amounts


def kobo(text: str) -> list[int]:
    """Reads `60,000 + 40,000.50`."""
    return [round(float(amount.replace(",", "")) * 100) for amount in text.split("+")]
