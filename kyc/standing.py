"""Reads with one query how a person's KYC stands: their tier, and whether an approval was revoked."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from django.utils import timezone

from kyc.models import Case, State
from kyc.tiers import tier_from


class Standing(NamedTuple):
    """`is_revoked`: an approval was revoked, and no newer one of the same document type stands."""

    tier: int
    is_revoked: bool


def standing_of(*, person_id: int, at: datetime | None = None) -> Standing:
    """Returns the person's standing at the time `at` (default: now). The tier is that of `tier_of`."""
    at = at or timezone.now()
    decided = Case.objects.filter(person_id=person_id, state__in=[State.APPROVED, State.REVOKED]).order_by()
    rows = list(decided.values_list("state", "document_type", "country", "expires_at"))
    approved = {kind: (country, ends) for state, kind, country, ends in rows if state == State.APPROVED}
    revoked = {kind for state, kind, _, _ in rows if state == State.REVOKED}
    valid = [(kind, country) for kind, (country, ends) in approved.items() if ends is not None and ends > at]
    return Standing(tier_from(valid), is_revoked=not revoked <= approved.keys())
