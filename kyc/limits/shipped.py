"""Defines Amani's default limits. `migrate` adds missing ones and changes none.

The reason of each row says where the amount comes from. Operators set other limits in the admin; these rows
then stay as history.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, NamedTuple

from django.apps import apps as installed_apps

KINDS = ("single", "daily", "monthly", "balance")
SINCE = datetime(2024, 1, 1, tzinfo=UTC)
UNIT = 100  # kobo of a naira, cents of a dollar


class Shipped(NamedTuple):
    """Default limits of a tier in whole naira or dollars, in the order of KINDS."""

    tier: int
    currency: str
    amounts: tuple[int, int, int, int]
    reasons: tuple[str, str, str, str]


CIRCULAR = "CBN circular of 1 July 2016, Tier {tier}: {what}."
OWN = "Amani's own figure; set what your licence allows."
NOT_VERIFIED = ("The identity is not verified.",) * 4
SHIPPED = (
    Shipped(0, "NGN", (0, 0, 0, 0), NOT_VERIFIED),
    Shipped(
        1,
        "NGN",
        (50_000, 50_000, 300_000, 300_000),
        (
            CIRCULAR.format(tier="I", what="a single deposit"),
            "The circular of 2016 gives Tier I no figure for a day: one payment's.",
            "The circular of 2016 gives Tier I no figure for a month: the balance's.",
            CIRCULAR.format(tier="I", what="the balance"),
        ),
    ),
    Shipped(
        2,
        "NGN",
        (100_000, 200_000, 2_000_000, 500_000),
        (
            CIRCULAR.format(tier="II", what="a single deposit"),
            "Sources disagree on Tier II's limit for a day (NGN 200,000 or 500,000): the lower one.",
            "The circular of 2016 gives Tier II no figure for a month: ten days' at the most.",
            CIRCULAR.format(tier="II", what="the balance"),
        ),
    ),
    Shipped(3, "NGN", (5_000_000, 5_000_000, 50_000_000, 50_000_000), (OWN,) * 4),
    Shipped(0, "USD", (0, 0, 0, 0), NOT_VERIFIED),
    Shipped(1, "USD", (50, 50, 300, 300), (OWN,) * 4),
    Shipped(2, "USD", (100, 200, 2_000, 500), (OWN,) * 4),
    Shipped(3, "USD", (5_000, 5_000, 50_000, 50_000), (OWN,) * 4),
)


def ensure_limits(*, apps: Any = installed_apps, **_: Any) -> None:
    """Adds missing default limits after `post_migrate`, which is also sent when tests empty the tables."""
    try:
        rule_model = apps.get_model("kyc", "LimitRule")
    except LookupError:
        return  # migrating backwards: the table no longer exists
    rows = [
        rule_model(
            tier=shipped.tier,
            currency=shipped.currency,
            kind=kind,
            amount_minor=amount * UNIT,
            valid_from=SINCE,
            reason=reason,
        )
        for shipped in SHIPPED
        for kind, amount, reason in zip(KINDS, shipped.amounts, shipped.reasons, strict=True)
    ]
    rule_model.objects.bulk_create(rows, ignore_conflicts=True)
