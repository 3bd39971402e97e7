"""Finds the fee rule of a time, and sets new rules. What is proposed or agreed keeps its fee."""

from __future__ import annotations

from datetime import datetime

import structlog
from django.db import transaction
from django.utils import timezone

from accounts.models import User
from core.money import CURRENCIES
from escrow.errors import FeeTaken, FeeUnchanged, NotAllowed, ReasonMissing, WrongFee
from escrow.escrows.constraints import constraints_named
from escrow.escrows.fees import BASIS_POINTS, Terms
from escrow.models import FeeRule
from escrow.models.ledger import MOST_MINOR
from escrow.roles import SET_FEES

log = structlog.get_logger(__name__)

HIGHEST_MINOR = MOST_MINOR // 2  # as of the amounts of an escrow
LONGEST_REASON = 2_000


def rule_at(currency: str, at: datetime) -> FeeRule | None:
    """Returns the rule of that time; None without one: then the currency cannot be used."""
    return FeeRule.objects.filter(currency=currency, from_at__lte=at).order_by("-from_at").first()


def terms_of(rule: FeeRule) -> Terms:
    return Terms(rule.percent_basis_points, rule.fixed_minor, rule.minimum_minor, rule.maximum_minor)


def shipped_in_force(at: datetime) -> list[str]:
    """Returns the currencies whose fee of that time is an example that Amani ships, in one query."""
    valid = FeeRule.objects.filter(from_at__lte=at).order_by("currency", "-from_at").distinct("currency")
    return [rule.currency for rule in valid if rule.created_by_id is None]


def set_fee(
    *, currency: str, terms: Terms, actor: User, reason: str, from_at: datetime | None = None
) -> FeeRule:
    """Adds a rule that is valid from `from_at` (default: now), and returns it.

    Amounts are in the currency's smallest unit. Raises NotAllowed, ReasonMissing, WrongFee, FeeTaken or
    FeeUnchanged.
    """
    if not actor.has_perm(SET_FEES):
        raise NotAllowed
    start = checked(currency=currency, terms=terms, reason=reason, from_at=from_at)
    with constraints_named(), transaction.atomic():
        rule = FeeRule.objects.create(
            currency=currency,
            from_at=start,
            **terms._asdict(),
            created_by=actor,
            reason=reason.strip()[:LONGEST_REASON],
        )
        transaction.on_commit(lambda: log.info("fee_set", rule_id=rule.pk, actor_id=actor.pk))
        return rule


def checked(*, currency: str, terms: Terms, reason: str, from_at: datetime | None) -> datetime:
    """Checks a new rule without storing it, and returns its start. Raises the errors of `set_fee`."""
    refuse_wrong(currency, terms)
    if not reason.strip():
        raise ReasonMissing
    start = start_from(from_at)
    refuse_pointless(currency, terms, start)
    return start


def refuse_wrong(currency: str, terms: Terms) -> None:
    """Raises WrongFee, which names each field that is wrong."""
    fields = {}
    if currency not in CURRENCIES:
        fields["currency"] = ["Use an ISO 4217 code, for example NGN."]
    if not 0 <= terms.percent_basis_points < BASIS_POINTS:
        fields["percent_basis_points"] = ["Use 0 to 99.99 %."]
    for name in ("fixed_minor", "minimum_minor", "maximum_minor"):
        amount = getattr(terms, name)
        if amount is not None and not 0 <= amount <= HIGHEST_MINOR:
            fields[name] = ["Use an amount from 0 to what an escrow may have."]
    if "maximum_minor" not in fields and is_below_minimum(terms):
        fields["maximum_minor"] = ["The maximum must not be below the minimum."]
    if fields:
        raise WrongFee(fields)


def is_below_minimum(terms: Terms) -> bool:
    return terms.maximum_minor is not None and terms.maximum_minor < terms.minimum_minor


def start_from(from_at: datetime | None) -> datetime:
    """Returns the start. Raises WrongFee for the past: terms of that time were made by another rule."""
    now = timezone.now()
    if from_at is not None and from_at < now:
        raise WrongFee({"from_at": ["Choose a time in the future, or leave it empty for now."]})
    return from_at or now


def refuse_pointless(currency: str, terms: Terms, start: datetime) -> None:
    """Raises FeeTaken or FeeUnchanged. The figures of an example may be set: then they are one's own."""
    before = rule_at(currency, start)
    if before is None:
        return
    if before.from_at == start:
        raise FeeTaken
    if terms_of(before) == terms and before.created_by_id is not None:
        raise FeeUnchanged
