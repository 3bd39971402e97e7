"""Decides whether a seller may receive money now: their KYC stands, and their limit has room for it."""

from __future__ import annotations

from escrow.models import Escrow
from kyc.cases.selectors import is_revoked
from kyc.limits import use_if_possible
from kyc.models import LimitKind


def may_receive(escrow: Escrow, amount_minor: int) -> bool:
    """Uses the seller's limit of what is held at one time, and returns whether they may receive the amount.

    If not, nothing is used. A payout gives the limit back.
    """
    if escrow.seller_id is None or is_revoked(person_id=escrow.seller_id):
        return False
    if amount_minor == 0:
        return True  # all of it is the fee
    return use_if_possible(
        person_id=escrow.seller_id,
        currency=escrow.currency,
        amount_minor=amount_minor,
        kinds=(LimitKind.BALANCE,),
    )
