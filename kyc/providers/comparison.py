"""Compares number and name that a provider confirmed with those of the case and the account."""

from __future__ import annotations

import unicodedata
from dataclasses import replace

from kyc.cases.numbers import normalise
from kyc.errors import WrongNumber
from kyc.providers.base import Result, Verdict

FEWEST_NAMES = 2


def compared(verdict: Verdict, *, number: str, full_name: str) -> Verdict:
    """Returns the verdict; an approval becomes UNCLEAR if number or name differ."""
    if verdict.result is not Result.APPROVED:
        return verdict
    if not numbers_agree(verdict, number):
        return doubted(verdict, "the number it read differs from the case")
    if not names_agree(verdict.name, full_name):
        return doubted(verdict, "the name it read differs from the account")
    return verdict


def doubted(verdict: Verdict, why: str) -> Verdict:
    return replace(verdict, result=Result.UNCLEAR, text=f"{verdict.text} (but {why})")


def numbers_agree(verdict: Verdict, number: str) -> bool:
    if not verdict.number:
        return verdict.number_was_looked_up
    try:
        return bool(number) and normalise(verdict.number) == number
    except WrongNumber:
        return False


def names_agree(read: str, full_name: str) -> bool:
    """Returns whether all names of the account are on the document, at least two, in any order.

    Accents and joiners are ignored.
    """
    claimed, shown = names_in(full_name), names_in(read)
    return len(claimed & shown) >= FEWEST_NAMES and claimed <= shown


def names_in(text: str) -> set[str]:
    plain = "".join(
        character
        for character in unicodedata.normalize("NFKD", text.casefold())
        if not unicodedata.combining(character) and unicodedata.category(character) != "Cf"
    )
    return set("".join(character if character.isalnum() else " " for character in plain).split())
