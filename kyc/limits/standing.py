"""What a person may still move: for their status, and for those who look after them."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from django.utils import timezone

from kyc.limits.windows import window_start
from kyc.models import LimitKind, LimitRule, LimitUsage
from kyc.tiers import tier_of


class Standing(NamedTuple):
    """One limit of one person. All amounts in the currency's smallest unit."""

    currency: str
    kind: LimitKind
    limit_minor: int
    used_minor: int
    remaining_minor: int


def limits_of(*, person_id: int, at: datetime | None = None) -> list[Standing]:
    """Every limit of the person's tier, by currency and kind; three queries. A lowered limit leaves 0."""
    at = at or timezone.now()
    tier = tier_of(person_id=person_id, at=at)
    rules = LimitRule.objects.filter(tier=tier, valid_from__lte=at)
    newest = rules.order_by("currency", "kind", "-valid_from").distinct("currency", "kind")
    used = used_by(person_id, at)
    order = list(LimitKind)
    found = [standing(rule, used.get((rule.currency, rule.kind), 0)) for rule in newest]
    return sorted(found, key=lambda limit: (limit.currency, order.index(limit.kind)))


def used_by(person_id: int, at: datetime) -> dict[tuple[str, str], int]:
    """(currency, kind) → used, in the windows of that moment."""
    starts = {kind: window_start(kind, at) for kind in LimitKind}
    rows = LimitUsage.objects.filter(person_id=person_id, window_start__in=set(starts.values()))
    return {
        (currency, kind): used
        for currency, kind, start, used in rows.values_list("currency", "kind", "window_start", "used_minor")
        if start == starts[LimitKind(kind)]
    }


def standing(rule: LimitRule, used_minor: int) -> Standing:
    remaining = max(rule.amount_minor - used_minor, 0)
    return Standing(rule.currency, LimitKind(rule.kind), rule.amount_minor, used_minor, remaining)
