"""Finds the limit that is valid at a time, and sets new limits."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

import structlog
from django.db import connection, transaction
from django.utils import timezone

from accounts.models import User
from core.money import CURRENCIES
from kyc.errors import NotAllowed, ReasonMissing
from kyc.limits.errors import LimitTaken, LimitUnchanged, WrongLimit
from kyc.models import LimitKind, LimitRule
from kyc.roles import CHANGE_LIMITS
from kyc.tiers import HIGHEST

log = structlog.get_logger(__name__)

HIGHEST_AMOUNT = 10**17  # minor units; far below bigint's end, so that sums have room
LONGEST_REASON = 2_000


def rule_at(*, tier: int, currency: str, kind: LimitKind, at: datetime | None = None) -> LimitRule | None:
    """Returns the rule valid at the time `at` (default: now), or None: then no money may be moved."""
    return rules_at(tier=tier, currency=currency, kinds=[kind], at=at or timezone.now()).get(kind)


def rules_at(
    *, tier: int, currency: str, kinds: Collection[LimitKind], at: datetime
) -> dict[LimitKind, LimitRule]:
    rules = LimitRule.objects.filter(tier=tier, currency=currency, kind__in=kinds, valid_from__lte=at)
    newest = rules.order_by("kind", "-valid_from").distinct("kind")
    return {LimitKind(rule.kind): rule for rule in newest}


def set_limit(
    *,
    tier: int,
    currency: str,
    kind: str,
    amount_minor: int,
    actor: User,
    reason: str,
    valid_from: datetime | None = None,
) -> LimitRule:
    """Adds a limit that is valid from `valid_from` (default: now), and returns it.

    Usage does not change: a lower limit only refuses later payments. `amount_minor` is in the currency's
    smallest unit. Raises NotAllowed, ReasonMissing, WrongLimit, LimitTaken or LimitUnchanged.
    """
    if not actor.has_perm(CHANGE_LIMITS):
        raise NotAllowed
    with transaction.atomic():
        lock_cell(tier, currency, kind)
        start = checked(
            tier=tier,
            currency=currency,
            kind=kind,
            amount_minor=amount_minor,
            reason=reason,
            valid_from=valid_from,
        )
        rule = LimitRule.objects.create(
            tier=tier,
            currency=currency,
            kind=kind,
            amount_minor=amount_minor,
            valid_from=start,
            created_by_id=actor.pk,
            reason=reason.strip()[:LONGEST_REASON],
        )
        transaction.on_commit(lambda: log.info("limit_set", rule_id=rule.pk, actor_id=actor.pk))
        return rule


def checked(
    *, tier: int, currency: str, kind: str, amount_minor: int, reason: str, valid_from: datetime | None
) -> datetime:
    """Checks a new limit without storing it, and returns its start. Raises the errors of `set_limit`."""
    refuse_wrong(tier, currency, kind, amount_minor)
    if not reason.strip():
        raise ReasonMissing("A limit needs a reason.", fields={"reason": ["Write why it changes."]})
    start = moment_from(valid_from)
    refuse_pointless(tier, currency, LimitKind(kind), amount_minor, start)
    return start


def refuse_wrong(tier: int, currency: str, kind: str, amount_minor: int) -> None:
    fields = {}
    if not 0 <= tier <= HIGHEST:
        fields["tier"] = [f"Use 0 to {HIGHEST}."]
    if currency not in CURRENCIES:
        fields["currency"] = ["Use an ISO 4217 code, for example NGN."]
    if kind not in LimitKind.values:
        fields["kind"] = [f"Use one of {', '.join(LimitKind.values)}."]
    if not 0 <= amount_minor <= HIGHEST_AMOUNT:
        fields["amount_minor"] = [f"Use 0 to {HIGHEST_AMOUNT:,}."]
    if fields:
        raise WrongLimit("The limit is invalid.", fields=fields)


def moment_from(valid_from: datetime | None) -> datetime:
    """Returns the start of the limit. Called after the lock, so that concurrent limits get different times.

    Raises WrongLimit for a time in the past.
    """
    now = timezone.now()
    if valid_from is not None and valid_from < now:
        raise WrongLimit(
            "A limit can't begin in the past, because it would not match earlier decisions.",
            fields={"valid_from": ["Choose a time in the future, or leave it empty for now."]},
        )
    return valid_from or now


def refuse_pointless(
    tier: int, currency: str, kind: LimitKind, amount_minor: int, valid_from: datetime
) -> None:
    before = rule_at(tier=tier, currency=currency, kind=kind, at=valid_from)
    if before is None:
        return
    if before.valid_from == valid_from:
        raise LimitTaken
    if before.amount_minor == amount_minor:
        raise LimitUnchanged


def lock_cell(tier: int, currency: str, kind: str) -> None:
    """Takes an advisory lock until the end of the transaction, because there may be no row to lock yet."""
    with connection.cursor() as cursor:
        key = f"limit:{tier}:{currency}:{kind}"
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [key])
