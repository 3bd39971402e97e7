"""Posts transfers: the only caller of the SQL function `ledger_post`, which alone writes the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from django.db import IntegrityError, connection
from django.utils import timezone

from core.constraints import constraint_of
from core.request_id import current_request_id
from escrow.ledger.accounts import Account
from escrow.ledger.errors import ERRORS
from escrow.models.chart import TransferKind

LONGEST_REASON = 200
CALL = (
    "SELECT * FROM ledger_post(%s, %s, %s::text[], %s::text[], %s::text[], %s::bigint[],"
    " %s::bigint, %s::bigint, %s::bigint, %s, %s::bigint, %s::bigint, %s::timestamptz, %s)"
)


class Leg(NamedTuple):
    """`amount_minor`: a credit is positive, a debit negative."""

    account: Account
    amount_minor: int


class Posted(NamedTuple):
    """`was_known`: the key had posted this transfer before, and nothing was posted now."""

    transfer_id: int
    public_id: UUID
    was_known: bool


def post(
    *,
    kind: TransferKind,
    key: str,
    legs: Sequence[Leg],
    escrow_id: int | None = None,
    milestone_id: int | None = None,
    actor_id: int | None = None,
    reason: str = "",
    resolves_id: int | None = None,
    event_at: datetime | None = None,
) -> Posted:
    """Posts one transfer in the caller's transaction, at most once for each (kind, key).

    `resolves_id`: the transfer of the payout request that this one settles or fails. `event_at`: when it
    happened, if that was not now. A repeated key must ask for the same legs, escrow, milestone and hold.

    Raises InsufficientFunds, KeyReused, AlreadyResolved, or WrongTransfer for a fault of the program. It
    takes no savepoint, so after an error only a rollback of the caller's transaction is possible.
    """
    return call(
        kind=kind,
        key=key,
        legs=legs,
        escrow_id=escrow_id,
        milestone_id=milestone_id,
        actor_id=actor_id,
        reason=reason,
        resolves_id=resolves_id,
        event_at=event_at,
    )


def reverse(
    *, transfer_id: int, key: str, reason: str, actor_id: int | None = None, event_at: datetime | None = None
) -> Posted:
    """Posts the opposite of a transfer, computed from its stored entries, at most once for each transfer.

    Raises AlreadyReversed, CannotReverse, InsufficientFunds, KeyReused, or AlreadyResolved for a payout
    request that has ended.
    """
    return call(
        kind=TransferKind.REVERSAL,
        key=key,
        reason=reason,
        actor_id=actor_id,
        reverses_id=transfer_id,
        event_at=event_at,
    )


def call(
    *,
    kind: TransferKind,
    key: str,
    reason: str,
    legs: Sequence[Leg] = (),
    escrow_id: int | None = None,
    milestone_id: int | None = None,
    actor_id: int | None = None,
    reverses_id: int | None = None,
    resolves_id: int | None = None,
    event_at: datetime | None = None,
) -> Posted:
    """Calls the SQL function; raises what the name of a violated constraint stands for."""
    arguments = (
        kind.value,
        key,
        [leg.account.kind.value for leg in legs],
        [leg.account.owner for leg in legs],
        [leg.account.currency for leg in legs],
        [leg.amount_minor for leg in legs],
        escrow_id,
        milestone_id,
        actor_id,
        reason[:LONGEST_REASON],
        reverses_id,
        resolves_id,
        event_at or timezone.now(),
        current_request_id(),
    )
    try:
        with connection.cursor() as cursor:
            cursor.execute(CALL, arguments)
            return Posted(*cursor.fetchone())
    except IntegrityError as error:
        make = ERRORS.get(constraint_of(error))
        if make is None:
            raise
        raise make() from error
