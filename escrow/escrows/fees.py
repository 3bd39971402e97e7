"""Computes Amani's fee and its parts: pure functions over integers in minor units.

A fee is percentage + fixed, within a minimum and a maximum. It is divided between the payers, and each
payer's part over the milestones, by the largest remainder: the parts always add up to the whole. Of a
milestone's part as much is taken as was released of the milestone; the last release takes what is left.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

BASIS_POINTS = 10_000  # 100 %


class FeePayer(StrEnum):
    BUYER = "buyer"  # pays it on top of the amounts
    SELLER = "seller"  # gets the amounts less the fee
    SPLIT = "split"  # each pays half; of an odd fee the buyer pays the unit more


class Terms(NamedTuple):
    """What a fee rule says, in minor units. `maximum_minor` None: no maximum."""

    percent_basis_points: int
    fixed_minor: int
    minimum_minor: int
    maximum_minor: int | None


class Parts(NamedTuple):
    """The fee of each milestone, in their order, by payer."""

    buyer: tuple[int, ...]
    seller: tuple[int, ...]

    @property
    def total_minor(self) -> int:
        return sum(self.buyer) + sum(self.seller)


def fee_for(total_minor: int, terms: Terms) -> int:
    """Returns the fee for a whole escrow. A half minor unit of the percentage is rounded up."""
    percentage = (total_minor * terms.percent_basis_points + BASIS_POINTS // 2) // BASIS_POINTS
    fee = max(percentage + terms.fixed_minor, terms.minimum_minor)
    return fee if terms.maximum_minor is None else min(fee, terms.maximum_minor)


def parts_of(amounts_minor: Sequence[int], fee_minor: int, payer: FeePayer) -> Parts:
    """Divides the fee between the payers, then over the milestones in proportion to their amounts."""
    buyer, seller = divide(fee_minor, SHARES[payer])
    return Parts(tuple(divide(buyer, amounts_minor)), tuple(divide(seller, amounts_minor)))


SHARES = {FeePayer.BUYER: (1, 0), FeePayer.SELLER: (0, 1), FeePayer.SPLIT: (1, 1)}


def divide(whole: int, weights: Sequence[int]) -> list[int]:
    """Divides `whole` in proportion to the weights by the largest remainder, the first of equal ones.

    The weights are not negative, and at least one is positive.
    """
    total = sum(weights)
    parts = [whole * weight // total for weight in weights]
    remainders = [whole * weight % total for weight in weights]
    by_remainder = sorted(range(len(weights)), key=lambda place: -remainders[place])
    for place in by_remainder[: whole - sum(parts)]:
        parts[place] += 1
    return parts


def taken(fee_minor: int, amount_minor: int, released_minor: int) -> int:
    """Returns how much of a milestone's fee is taken once `released_minor` of `amount_minor` is released."""
    return fee_minor * released_minor // amount_minor
