"""Limits for the tests, in a currency of their own, independent of the default limits."""

from __future__ import annotations

from datetime import datetime

from django.utils import timezone

from kyc.models import LimitKind, LimitRule, LimitUsage

CURRENCY = "XTS"  # ISO 4217's code for tests


def limit(
    amount_minor: int,
    *kinds: LimitKind,
    tier: int = 0,
    currency: str = CURRENCY,
    since: datetime | None = None,
) -> None:
    """Limits of those kinds, of all if none is named; past the checks of `set_limit`."""
    for kind in kinds or tuple(LimitKind):
        LimitRule.objects.create(
            tier=tier,
            currency=currency,
            kind=kind,
            amount_minor=amount_minor,
            valid_from=since or timezone.now(),
            reason="For a test.",
        )


def used(person_id: int, currency: str = CURRENCY) -> dict[str, int]:
    rows = LimitUsage.objects.filter(person_id=person_id, currency=currency)
    return dict(rows.values_list("kind", "used_minor"))
