"""Maps violated constraints of escrows to errors; the only module that uses their names."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from core.constraints import AGAIN, constraints_as, taken
from core.errors import AmaniError
from escrow.errors import FeeTaken, SameParty

ERRORS: dict[str, Callable[[], AmaniError]] = {
    "a_buyer_is_not_the_seller": lambda: SameParty("other"),
    "one_version_of_terms_per_number": taken(
        "The other party proposed new terms at this moment. Read them, then answer."
    ),
    "a_party_agrees_once": taken("You have agreed to these terms already."),
    "one_open_invitation_per_escrow": taken("The other party has an open invitation already."),
    "one_fee_per_moment": FeeTaken,
    "one_milestone_per_place": AGAIN,
    "escrow_escroweventtext_pkey": AGAIN,
    "escrow_milestoneeventtext_pkey": AGAIN,
    # Random numbers: the next try makes another one.
    "escrow_escrow_public_id_key": AGAIN,
    "escrow_milestone_public_id_key": AGAIN,
    "escrow_invitation_token_hash_key": AGAIN,
}


def constraints_named() -> AbstractContextManager[None]:
    """Raises this app's error for a violated constraint; must be outside the transaction."""
    return constraints_as(ERRORS)
