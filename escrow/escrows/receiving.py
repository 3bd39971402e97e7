"""Decides whether a seller may receive money now: their KYC stands, and their limit has room for it."""

from __future__ import annotations

from escrow.models import Escrow
from kyc.limits import use_if_possible
from kyc.models import LimitKind
from kyc.standing import Standing, standing_of


def may_receive(escrow: Escrow, amount_minor: int, standing: Standing | None = None) -> bool:
    """Uses the seller's limit of what is held at one time, and returns whether they may receive the amount.

    If not, nothing is used. A payout gives the limit back. `standing`: the seller's, if it was just read.
    """
    if escrow.seller_id is None:
        return False
    standing = standing or standing_of(person_id=escrow.seller_id)
    if standing.is_revoked:
        return False
    if amount_minor == 0:
        return True  # all of it is the fee
    return use_if_possible(
        person_id=escrow.seller_id,
        currency=escrow.currency,
        amount_minor=amount_minor,
        kinds=(LimitKind.BALANCE,),
        tier=standing.tier,
    )
