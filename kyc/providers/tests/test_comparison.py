"""Tests that an approval counts only for the case's number and the account's name."""

from __future__ import annotations

import pytest

from kyc.providers.base import Result, Verdict
from kyc.providers.comparison import compared, names_agree

NUMBER = "A12345678"


def verdict(number: str = NUMBER, name: str = "ADA OBI", *, looked_up: bool = False) -> Verdict:
    return Verdict(Result.APPROVED, "0810", "1", number=number, name=name, number_was_looked_up=looked_up)


def test_the_same_number_and_name_are_approved() -> None:
    assert compared(verdict(), number=NUMBER, full_name="Ada Obi") == verdict()
    spelled = verdict(number="a 1234-5678")
    assert compared(spelled, number=NUMBER, full_name="Ada Obi") == spelled


@pytest.mark.parametrize("read", ["A12345679", "", "A12345678\u200b", "x" * 100])
def test_another_number_or_none_is_left_to_people(read: str) -> None:
    outcome = compared(verdict(number=read), number=NUMBER, full_name="Ada Obi")
    assert outcome.result is Result.UNCLEAR
    assert outcome.text == "0810 (but the number it read differs from the case)"


def test_a_number_that_was_looked_up_need_not_be_read_but_must_not_differ() -> None:
    unread, other = verdict("", looked_up=True), verdict("A1", looked_up=True)
    assert compared(unread, number=NUMBER, full_name="Ada Obi").result is Result.APPROVED
    assert compared(other, number=NUMBER, full_name="Ada Obi").result is Result.UNCLEAR


def test_an_erased_number_is_no_match() -> None:
    assert compared(verdict(), number="", full_name="Ada Obi").result is Result.UNCLEAR


@pytest.mark.parametrize(
    ("read", "claimed", "agree"),
    [
        ("OBI, ADA CHINWE", "Ada Obi", True),
        ("Ọbí Àdá", "ada obi", True),
        ("Ada-Obi Nwosu", "Obi Ada", True),
        ("ADA OBI", "Ada Obi Nwosu", False),
        ("ADA EZE", "Ada Obi", False),
        ("ADA", "Ada", False),
        ("", "Ada Obi", False),
        ("ADA OBI", "", False),
        ("Ada Ada", "Ada Ada", False),
    ],
)
def test_names(read: str, claimed: str, agree: bool) -> None:
    assert names_agree(read, claimed) is agree
    outcome = compared(verdict(name=read), number=NUMBER, full_name=claimed)
    assert outcome.result is (Result.APPROVED if agree else Result.UNCLEAR)


@pytest.mark.parametrize("result", [Result.REJECTED, Result.UNCLEAR, Result.PENDING])
def test_only_approvals_are_compared(result: Result) -> None:
    other = Verdict(result, "text")
    assert compared(other, number=NUMBER, full_name="") is other
