"""The transfers that a writer chooses from: all ways that the money of an escrow goes."""

from __future__ import annotations

from random import Random

from django.db import transaction

from escrow.ledger import (
    Leg,
    Posted,
    TransferKind,
    clearing,
    held,
    in_transit,
    payable,
    platform_fee,
    post,
    refundable,
    reverse,
)

ESCROWS = 200
USERS = 50
MOST_MINOR = 100_000
CURRENCIES = ("NGN", "JPY", "KWD")


def post_at_random(source: Random, key: str) -> int:
    """Commits one transfer and returns its id. Raises InsufficientFunds when there is too little money."""
    move = source.choices((fund, release, refund, pay_out, undo), weights=(40, 25, 10, 20, 5))[0]
    with transaction.atomic():
        return move(source, key).transfer_id


def fund(source: Random, key: str) -> Posted:
    currency, amount = source.choice(CURRENCIES), source.randint(1, MOST_MINOR)
    escrow = source.randrange(ESCROWS)
    pair = (Leg(clearing("bank", currency), -amount), Leg(held(escrow, currency), amount))
    return post(kind=TransferKind.FUNDING, key=key, legs=pair, escrow_id=escrow)


def release(source: Random, key: str) -> Posted:
    currency, amount = source.choice(CURRENCIES), source.randint(2, MOST_MINOR)
    escrow, fee = source.randrange(ESCROWS), max(amount // 40, 1)
    three = (
        Leg(held(escrow, currency), -amount),
        Leg(payable(source.randrange(USERS), currency), amount - fee),
        Leg(platform_fee(currency), fee),
    )
    return post(kind=TransferKind.RELEASE, key=key, legs=three, escrow_id=escrow)


def refund(source: Random, key: str) -> Posted:
    currency, amount = source.choice(CURRENCIES), source.randint(1, MOST_MINOR)
    escrow = source.randrange(ESCROWS)
    pair = (
        Leg(held(escrow, currency), -amount),
        Leg(refundable(source.randrange(USERS), currency), amount),
    )
    return post(kind=TransferKind.REFUND, key=key, legs=pair, escrow_id=escrow)


def pay_out(source: Random, key: str) -> Posted:
    """Requests a payout and ends it, in one transaction, in one of three ways or not at all."""
    currency, amount = source.choice(CURRENCIES), source.randint(1, MOST_MINOR)
    user = source.randrange(USERS)
    account, transit = payable(user, currency), in_transit(user, currency)
    request = post(
        kind=TransferKind.PAYOUT_REQUESTED, key=key, legs=(Leg(account, -amount), Leg(transit, amount))
    )
    end = source.choice(("settled", "failed", "reversed", "open"))
    if end == "settled":
        back = (Leg(transit, -amount), Leg(clearing("bank", currency), amount))
        post(kind=TransferKind.PAYOUT_SETTLED, key=key, legs=back, resolves_id=request.transfer_id)
    if end == "failed":
        back = (Leg(transit, -amount), Leg(account, amount))
        post(kind=TransferKind.PAYOUT_FAILED, key=key, legs=back, resolves_id=request.transfer_id)
    if end == "reversed":
        reverse(transfer_id=request.transfer_id, key=key, reason="Torture.")
    return request


def undo(source: Random, key: str) -> Posted:
    """Funds and takes it back: by a second transfer with the same key, which posts nothing."""
    first = fund(source, key)
    reverse(transfer_id=first.transfer_id, key=key, reason="Torture.")
    again = reverse(transfer_id=first.transfer_id, key=key, reason="Torture.")
    if not again.was_known:
        raise RuntimeError(f"{key} was posted twice.")
    return first
