"""What tests of the ledger read and post."""

from __future__ import annotations

from itertools import count

from django.db import connection

from escrow.ledger import Account, Leg, Posted, TransferKind, clearing, held, in_transit, payable, post

keys = count()


def fund(escrow_id: int = 1, amount_minor: int = 1_000, currency: str = "NGN", key: str = "") -> Posted:
    legs = (Leg(clearing("bank", currency), -amount_minor), Leg(held(escrow_id, currency), amount_minor))
    return post(kind=TransferKind.FUNDING, key=key or f"funding:{next(keys)}", legs=legs)


def owe(user_id: int = 7, amount_minor: int = 1_000, currency: str = "NGN") -> Posted:
    legs = (Leg(clearing("bank", currency), -amount_minor), Leg(payable(user_id, currency), amount_minor))
    return post(kind=TransferKind.CORRECTION, key=f"owed:{next(keys)}", legs=legs)


def hold(user_id: int = 7, amount_minor: int = 400, key: str = "") -> Posted:
    legs = (Leg(payable(user_id, "NGN"), -amount_minor), Leg(in_transit(user_id, "NGN"), amount_minor))
    return post(kind=TransferKind.PAYOUT_REQUESTED, key=key or f"payout:{next(keys)}", legs=legs)


def end(kind: TransferKind, hold_id: int | None, amount_minor: int = 400, key: str = "") -> Posted:
    target = clearing("bank", "NGN") if kind == TransferKind.PAYOUT_SETTLED else payable(7, "NGN")
    legs = (Leg(in_transit(7, "NGN"), -amount_minor), Leg(target, amount_minor))
    return post(kind=kind, key=key or f"end:{next(keys)}", legs=legs, resolves_id=hold_id)


def legs(*pairs: tuple[Account, int]) -> list[Leg]:
    return [Leg(account, amount) for account, amount in pairs]


def books() -> tuple[int, int, int]:
    """Returns how many transfers and entries there are, and the sum of all balances: what a refusal keeps."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT (SELECT count(*) FROM ledger_transfer), (SELECT count(*) FROM ledger_entry),"
            " (SELECT coalesce(sum(abs(posted_minor)), 0) FROM ledger_balance)"
        )
        transfers, entries, total = cursor.fetchone()
    return transfers, entries, int(total)
