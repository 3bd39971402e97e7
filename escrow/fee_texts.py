"""Fees in words, and what a rule takes of sample amounts."""

from __future__ import annotations

from typing import NamedTuple

from core.money import exponent_of, format_amount
from escrow.escrows.fees import Terms, fee_for

SAMPLES = (100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000)  # in the currency's main unit


class Taken(NamedTuple):
    """What a rule takes of an amount. The fee is in minor units; `is_refused`: it would use up the amount."""

    fee_minor: int
    share: str
    is_refused: bool


class Sample(NamedTuple):
    """`before`: by another rule, None without one."""

    amount_minor: int
    fee: Taken
    before: Taken | None


def samples(currency: str, terms: Terms, before: Terms | None = None) -> list[Sample]:
    amounts = [units * 10 ** exponent_of(currency) for units in SAMPLES]
    return [
        Sample(amount, taken_of(amount, terms), taken_of(amount, before) if before else None)
        for amount in amounts
    ]


def taken_of(amount_minor: int, terms: Terms) -> Taken:
    fee = fee_for(amount_minor, terms)
    return Taken(fee, percent(fee * 10_000 // amount_minor), fee >= amount_minor)


def percent(basis_points: int) -> str:
    """Returns for example `1.5 %`."""
    return f"{basis_points / 100:.2f}".rstrip("0").rstrip(".") + " %"


def in_words(terms: Terms, currency: str) -> str:
    """Returns for example `1.5 % + NGN 50, at least NGN 100, at most NGN 50,000`; `no fee` for zero."""

    def money(amount_minor: int) -> str:
        return format_amount(amount_minor, currency)

    rate, fixed = terms.percent_basis_points, terms.fixed_minor
    parts = [percent(rate)] if rate else []
    parts += [money(fixed)] if fixed else []
    words = [" + ".join(parts)] if parts else []
    words += [f"at least {money(terms.minimum_minor)}"] if terms.minimum_minor else []
    words += [] if terms.maximum_minor is None else [f"at most {money(terms.maximum_minor)}"]
    return ", ".join(words) if parts or terms.minimum_minor else "no fee"
