"""Lists all limits, current and planned, by currency, tier and kind."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from django.db.models import QuerySet
from django.utils import timezone

from kyc.models import LimitKind, LimitRule
from kyc.tiers import TIERS, Tier

CELL = ("currency", "tier", "kind")
Cells = dict[tuple[str, int, str], LimitRule]


class Cell(NamedTuple):
    """`rule` is the current limit, None if there is none (no money may be moved); `planned` is the next."""

    kind: LimitKind
    rule: LimitRule | None
    planned: LimitRule | None


class Row(NamedTuple):
    tier: Tier
    cells: list[Cell]


def matrix(at: datetime | None = None) -> dict[str, list[Row]]:
    """Returns currency → one row for each tier, at the time `at` (default: now); two queries."""
    now = at or timezone.now()
    held = by_cell(LimitRule.objects.filter(valid_from__lte=now).order_by(*CELL, "-valid_from"))
    planned = by_cell(LimitRule.objects.filter(valid_from__gt=now).order_by(*CELL, "valid_from"))
    currencies = sorted({currency for currency, _, _ in [*held, *planned]})
    return {currency: [row(currency, tier, held, planned) for tier in TIERS] for currency in currencies}


def by_cell(rules: QuerySet[LimitRule]) -> Cells:
    """Returns the first rule of each cell, in the order of `rules`."""
    return {(rule.currency, rule.tier, rule.kind): rule for rule in rules.distinct(*CELL)}


def row(currency: str, tier: Tier, held: Cells, planned: Cells) -> Row:
    keys = [(kind, (currency, tier.number, kind.value)) for kind in LimitKind]
    return Row(tier, [Cell(kind, held.get(key), planned.get(key)) for kind, key in keys])


def history(rule: LimitRule) -> QuerySet[LimitRule]:
    """Selects all rules of the same tier, currency and kind, newest first, planned ones included."""
    same = LimitRule.objects.filter(tier=rule.tier, currency=rule.currency, kind=rule.kind)
    return same.select_related("created_by").order_by("-valid_from")
