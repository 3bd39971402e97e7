"""Defines the tiers: which approved documents give which tier. Limits depend on the tier (kyc/limits/)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from django.utils import timezone

from kyc.models import Case, DocumentType, State


class Evidence(StrEnum):
    """What an approved document proves; one document may prove several things."""

    NUMBER = "number"  # NIN or BVN, from a register of Nigeria
    PHOTO = "photo"  # a document with a photo, of any country
    FOREIGN_PHOTO = "foreign_photo"  # of another country, whose citizens have neither NIN nor BVN


class Tier(NamedTuple):
    """`ways`: alternative sets of evidence, one is enough. `how`: the same as text for the user."""

    number: int
    name: str
    ways: tuple[Counter[Evidence], ...]
    how: str


NUMBERS = frozenset({DocumentType.NIN, DocumentType.BVN})
HOME = "NG"
TIERS = (
    Tier(0, "not verified", (Counter(),), "Sign up."),
    Tier(
        1,
        "number verified",
        (Counter({Evidence.NUMBER: 1}), Counter({Evidence.FOREIGN_PHOTO: 1})),
        "Verify your NIN or BVN (a document of another country: one with a photo).",
    ),
    Tier(
        2,
        "document verified",
        (Counter({Evidence.NUMBER: 1, Evidence.PHOTO: 1}), Counter({Evidence.FOREIGN_PHOTO: 2})),
        "Verify a document with a photo beside your NIN or BVN "
        "(of another country: two documents with a photo).",
    ),
    Tier(
        3,
        "fully verified",
        (Counter({Evidence.NUMBER: 2, Evidence.PHOTO: 1}),),
        "Verify NIN, BVN and a document with a photo.",
    ),
)
HIGHEST = TIERS[-1].number


def tier_of(*, person_id: int, at: datetime | None = None) -> int:
    """Returns the person's tier at the time `at` (default: now), with one query.

    An approval counts until its `expires_at`, also if the task that expires cases has not run. An approval
    that was revoked later than `at` does not count.
    """
    approvals = Case.objects.filter(
        person_id=person_id, state=State.APPROVED, expires_at__gt=at or timezone.now()
    )
    return tier_from(approvals.order_by().values_list("document_type", "country"))


def tier_from(documents: Iterable[tuple[str, str]]) -> int:
    """Returns the highest tier for approved documents (type, country). No type occurs twice."""
    evidence = Counter(piece for document in documents for piece in evidence_of(*document))
    return max(tier.number for tier in TIERS if any(way <= evidence for way in tier.ways))


def evidence_of(document_type: str, country: str) -> tuple[Evidence, ...]:
    if document_type in NUMBERS:
        return (Evidence.NUMBER,)
    return (Evidence.PHOTO,) if country == HOME else (Evidence.PHOTO, Evidence.FOREIGN_PHOTO)


def next_tier(tier: int) -> Tier | None:
    """Returns the tier after `tier`, or None after the highest."""
    return TIERS[tier + 1] if tier < HIGHEST else None
