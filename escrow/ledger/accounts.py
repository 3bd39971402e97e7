"""Accounts as plain values: the posting function opens one when it is used for the first time."""

from __future__ import annotations

from typing import NamedTuple

from escrow.models.chart import AccountKind


class Account(NamedTuple):
    """`owner`: the id of an escrow or a user, the name of a provider, or "" (escrow/models/ledger.py)."""

    kind: AccountKind
    owner: str
    currency: str


def held(escrow_id: int, currency: str) -> Account:
    """Money of one escrow: its own account, so that busy escrows never wait for each other."""
    return Account(AccountKind.ESCROW_HELD, str(escrow_id), currency)


def payable(user_id: int, currency: str) -> Account:
    """What a seller may have paid out."""
    return Account(AccountKind.SELLER_PAYABLE, str(user_id), currency)


def refundable(user_id: int, currency: str) -> Account:
    """What a buyer may have paid back."""
    return Account(AccountKind.BUYER_REFUNDABLE, str(user_id), currency)


def in_transit(user_id: int, currency: str) -> Account:
    """What is on its way to a user: the payout has begun and has not ended."""
    return Account(AccountKind.PAYOUT_IN_TRANSIT, str(user_id), currency)


def clearing(provider: str, currency: str) -> Account:
    """What a provider holds for Amani: negative, because it is Amani's and owed to its customers."""
    return Account(AccountKind.PROVIDER_CLEARING, provider, currency)


def suspense(provider: str, currency: str) -> Account:
    """Money that arrived and belongs to no escrow yet: too much, or of an unknown payer."""
    return Account(AccountKind.SUSPENSE, provider, currency)


def platform_fee(currency: str) -> Account:
    return Account(AccountKind.PLATFORM_FEE, "", currency)


def provider_fee(provider: str, currency: str) -> Account:
    return Account(AccountKind.PROVIDER_FEE, provider, currency)


def chargeback_loss(currency: str) -> Account:
    """What the house lost because a payment was taken back after its money had been released."""
    return Account(AccountKind.CHARGEBACK_LOSS, "", currency)
