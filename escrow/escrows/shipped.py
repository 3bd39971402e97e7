"""Defines Amani's default fees. `migrate` adds missing ones and changes none."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.apps import apps as installed_apps

SINCE = datetime(2024, 1, 1, tzinfo=UTC)
REASON = "Amani's own figure; set your own."
# Currency, basis points, fixed, minimum and maximum in minor units.
SHIPPED = (
    ("NGN", 150, 0, 10_000, 5_000_000),
    ("USD", 150, 0, 100, 50_000),
)


def ensure_fees(*, apps: Any = installed_apps, **_: Any) -> None:
    """Adds missing default fees after `post_migrate`, which is also sent when tests empty the tables."""
    try:
        rule_model = apps.get_model("escrow", "FeeRule")
    except LookupError:
        return  # migrating backwards: the table no longer exists
    rows = [
        rule_model(
            currency=currency,
            from_at=SINCE,
            percent_basis_points=basis_points,
            fixed_minor=fixed,
            minimum_minor=minimum,
            maximum_minor=maximum,
            reason=REASON,
        )
        for currency, basis_points, fixed, minimum, maximum in SHIPPED
    ]
    rule_model.objects.bulk_create(rows, ignore_conflicts=True)
