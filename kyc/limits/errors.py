"""Errors of using and setting limits."""

from __future__ import annotations

from core.errors import Conflict, Invalid
from core.money import format_amount
from kyc.errors import KycError
from kyc.models import LimitKind
from kyc.tiers import next_tier

OF_WHAT = {
    LimitKind.SINGLE: "for one payment",
    LimitKind.DAILY: "for a day (UTC)",
    LimitKind.MONTHLY: "for a calendar month (UTC)",
    LimitKind.BALANCE: "for the balance",
}


class LimitExceeded(KycError, Conflict):
    """A limit is exceeded, nothing was used. Amounts are in the smallest unit of `currency`."""

    code = "limit_exceeded"

    def __init__(
        self, *, tier: int, kind: LimitKind, currency: str, limit_minor: int, remaining_minor: int
    ) -> None:
        limit, rest = format_amount(limit_minor, currency), format_amount(remaining_minor, currency)
        super().__init__(f"Your limit {OF_WHAT[kind]} is {limit}; {rest} is left. {how_to_raise(tier)}")
        self.tier = tier
        self.kind = kind
        self.currency = currency
        self.limit_minor = limit_minor
        self.remaining_minor = remaining_minor


class NoLimitSet(KycError, Conflict):
    """No limit is set, so no money may be moved: a currency can be used after limits are set for it."""

    code = "no_limit_set"

    def __init__(self, *, tier: int, kind: LimitKind, currency: str) -> None:
        super().__init__(f"{currency} can't be used at your tier ({tier}): no limit is set {OF_WHAT[kind]}.")
        self.tier = tier
        self.kind = kind
        self.currency = currency


class WrongLimit(KycError, Invalid):
    """The input is invalid; `fields` names the fields."""

    code = "wrong_limit"


class LimitTaken(KycError, Conflict):
    code = "limit_taken"

    def __init__(self) -> None:
        super().__init__("A limit from that time exists already and cannot be changed. Choose another time.")


class LimitUnchanged(KycError, Conflict):
    code = "limit_unchanged"

    def __init__(self) -> None:
        super().__init__("The limit already has this amount at that time.")


def how_to_raise(tier: int) -> str:
    better = next_tier(tier)
    if better is None:
        return "You have the highest tier. Wait, or write to us."
    return f"To raise it: {better.how[0].lower()}{better.how[1:]}"
