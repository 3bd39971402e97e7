"""Computes how much of their limits a person has used and has left."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from django.utils import timezone

from kyc.limits.windows import window_start
from kyc.models import LimitKind, LimitRule, LimitUsage
from kyc.tiers import tier_of


class PersonalLimit(NamedTuple):
    """A limit of one person. All amounts are in the currency's smallest unit."""

    currency: str
    kind: LimitKind
    limit_minor: int
    used_minor: int
    remaining_minor: int


def limits_of(*, person_id: int, at: datetime | None = None) -> list[PersonalLimit]:
    """Returns the limits of the person's tier by currency and kind, at the time `at` (default: now).

    Three queries. After a limit was lowered below the used amount, 0 is left.
    """
    at = at or timezone.now()
    tier = tier_of(person_id=person_id, at=at)
    rules = LimitRule.objects.filter(tier=tier, valid_from__lte=at)
    newest = rules.order_by("currency", "kind", "-valid_from").distinct("currency", "kind")
    used = used_by(person_id, at)
    order = list(LimitKind)
    found = [personal_limit(rule, used.get((rule.currency, rule.kind), 0)) for rule in newest]
    return sorted(found, key=lambda limit: (limit.currency, order.index(limit.kind)))


def used_by(person_id: int, at: datetime) -> dict[tuple[str, str], int]:
    """Returns (currency, kind) → used amount in the windows of that time."""
    starts = {kind: window_start(kind, at) for kind in LimitKind}
    rows = LimitUsage.objects.filter(person_id=person_id, window_start__in=set(starts.values()))
    return {
        (currency, kind): used
        for currency, kind, start, used in rows.values_list("currency", "kind", "window_start", "used_minor")
        if start == starts[LimitKind(kind)]
    }


def personal_limit(rule: LimitRule, used_minor: int) -> PersonalLimit:
    remaining = max(rule.amount_minor - used_minor, 0)
    return PersonalLimit(rule.currency, LimitKind(rule.kind), rule.amount_minor, used_minor, remaining)
