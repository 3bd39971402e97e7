"""Uses limits and gives amounts back. A constraint of the database refuses usage above the limit."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import nullcontext
from datetime import datetime
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from kyc.limits.errors import LimitExceeded, NoLimitSet
from kyc.limits.rules import rules_at
from kyc.limits.windows import COUNTED, window_start
from kyc.metrics import record_limit_denied
from kyc.models import LimitKind, LimitUsage
from kyc.tiers import tier_of

PAYMENT = (LimitKind.SINGLE, LimitKind.DAILY, LimitKind.MONTHLY)

# Returns the kinds whose limits were sufficient. One statement, which locks rows in the order of COUNTED. The
# comparison subtracts, so that no sum can exceed bigint.
TAKE = """
INSERT INTO kyc_limitusage AS usage (person_id, currency, kind, window_start, used_minor, cap_minor)
SELECT %(person)s, %(currency)s, kind, window_start, %(amount)s, cap
FROM unnest(%(kinds)s::varchar[], %(windows)s::date[], %(caps)s::bigint[]) AS asked (kind, window_start, cap)
ON CONFLICT (person_id, currency, kind, window_start) DO UPDATE
SET used_minor = usage.used_minor + excluded.used_minor, cap_minor = excluded.cap_minor
WHERE usage.used_minor <= excluded.cap_minor - excluded.used_minor
RETURNING kind
"""
# cap_minor does not change: it is the limit at the last use, and giving back only lowers used_minor.
GIVE_BACK = """
WITH locked AS MATERIALIZED (
    SELECT id FROM kyc_limitusage
    WHERE person_id = %(person)s AND currency = %(currency)s
      AND (kind, window_start) IN (SELECT * FROM unnest(%(kinds)s::varchar[], %(windows)s::date[]))
    ORDER BY array_position(%(kinds)s::varchar[], kind)
    FOR NO KEY UPDATE
)
UPDATE kyc_limitusage AS usage SET used_minor = greatest(used_minor - %(amount)s, 0)
FROM locked WHERE usage.id = locked.id
"""


def use(
    *,
    person_id: int,
    currency: str,
    amount_minor: int,
    kinds: Collection[LimitKind] = PAYMENT,
    at: datetime | None = None,
    tier: int | None = None,
) -> None:
    """Uses `amount_minor` (smallest unit of the currency) of the person's limits.

    Raises LimitExceeded or NoLimitSet; then nothing is used, and the caller's transaction is still usable. Of
    several kinds it holds no locks then; one that was refused alone stays locked until the transaction ends.
    Raises RuntimeError outside a transaction: call it in the transaction that moves the money, so that both
    happen or neither. To avoid deadlocks, pass all `kinds` in one call, and call it for several people in
    the order of their ids. Store `at`: `give_back` needs the same time.

    `tier`: what `tier_of` says, from a caller who has asked in this transaction.
    """
    refuse_misuse(amount_minor, kinds)
    at = at or timezone.now()
    if tier is None:
        tier = tier_of(person_id=person_id, at=at)
    try:
        # One row is used or not; of several kinds the first may have been used when another refuses.
        with transaction.atomic() if len(kinds) > 1 else nullcontext():
            take(person_id, currency, amount_minor, caps_of(tier, currency, kinds, at), tier, at)
    except (LimitExceeded, NoLimitSet) as refusal:
        record_limit_denied(tier, refusal.kind)  # not on commit: the caller usually rolls back
        raise


def use_if_possible(
    *,
    person_id: int,
    currency: str,
    amount_minor: int,
    kinds: Collection[LimitKind] = PAYMENT,
    at: datetime | None = None,
    tier: int | None = None,
) -> bool:
    """Does what `use` does and returns True; returns False if a limit does not allow it: nothing is used."""
    try:
        use(person_id=person_id, currency=currency, amount_minor=amount_minor, kinds=kinds, at=at, tier=tier)
    except (LimitExceeded, NoLimitSet):
        return False
    return True


def give_back(
    *,
    person_id: int,
    currency: str,
    amount_minor: int,
    kinds: Collection[LimitKind] = PAYMENT,
    at: datetime,
) -> None:
    """Reverses a `use` at the time `at`: the move failed, was refunded, or a balance was paid out.

    Changes the same windows, never below zero, also if the limit was lowered. It is not idempotent: the
    caller must call it once, for example guarded by the state of the payment.
    """
    refuse_misuse(amount_minor, kinds)
    counted = counted_among(kinds)
    if counted:
        with connection.cursor() as cursor:
            cursor.execute(GIVE_BACK, parameters(person_id, currency, amount_minor, counted, at))


def refuse_misuse(amount_minor: int, kinds: Collection[LimitKind]) -> None:
    """Raises RuntimeError or ValueError for wrong calls, which are errors of the program."""
    if not connection.in_atomic_block:
        raise RuntimeError("Limits are used inside the transaction that moves the money.")
    if amount_minor <= 0:
        raise ValueError(f"The amount must be positive, not {amount_minor}.")
    if not kinds:
        raise ValueError("Pass at least one kind of limit.")


def caps_of(tier: int, currency: str, kinds: Collection[LimitKind], at: datetime) -> dict[LimitKind, int]:
    rules = rules_at(tier=tier, currency=currency, kinds=kinds, at=at)
    for kind in LimitKind:
        if kind in kinds and kind not in rules:
            raise NoLimitSet(tier=tier, kind=kind, currency=currency)
    return {kind: rules[kind].amount_minor for kind in LimitKind if kind in kinds}


def take(
    person_id: int, currency: str, amount_minor: int, caps: dict[LimitKind, int], tier: int, at: datetime
) -> None:
    for kind, cap in caps.items():
        if amount_minor > cap:
            raise refusal(person_id, currency, kind, cap, tier, at)
    counted = counted_among(caps)
    if not counted:
        return
    asked = parameters(person_id, currency, amount_minor, counted, at)
    with connection.cursor() as cursor:
        cursor.execute(TAKE, asked | {"caps": [caps[kind] for kind in counted]})
        taken = {kind for (kind,) in cursor.fetchall()}
    for kind in counted:
        if kind not in taken:
            raise refusal(person_id, currency, kind, caps[kind], tier, at)


def counted_among(kinds: Collection[LimitKind]) -> list[LimitKind]:
    return [kind for kind in COUNTED if kind in kinds]


def parameters(
    person_id: int, currency: str, amount_minor: int, counted: list[LimitKind], at: datetime
) -> dict[str, Any]:
    return {
        "person": person_id,
        "currency": currency,
        "amount": amount_minor,
        "kinds": [kind.value for kind in counted],
        "windows": [window_start(kind, at) for kind in counted],
    }


def refusal(
    person_id: int, currency: str, kind: LimitKind, cap: int, tier: int, at: datetime
) -> LimitExceeded:
    """Returns the error with the remaining amount, which is read in the savepoint that locks the row."""
    usage = LimitUsage.objects.filter(
        person_id=person_id, currency=currency, kind=kind, window_start=window_start(kind, at)
    )
    used = 0 if kind == LimitKind.SINGLE else usage.values_list("used_minor", flat=True).first() or 0
    return LimitExceeded(
        tier=tier, kind=kind, currency=currency, limit_minor=cap, remaining_minor=max(cap - used, 0)
    )
