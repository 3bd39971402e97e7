"""Stores changes of rules: what tuning, own rules, imports, reverts and releases have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import structlog
from django.contrib.auth import get_user_model
from django.contrib.auth.models import PermissionsMixin
from django.core.exceptions import ObjectDoesNotExist
from django.db import connection, transaction

from core.constraints import Errors
from core.request_id import current_request_id
from observability.alerts.errors import MayNotTune, ReasonMissing, RuleChangedMeanwhile, UnknownOperator
from observability.models import AlertRule, RuleChange
from observability.models.rules import SEVERITY
from observability.roles import TUNE_RULE

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser

LONGEST_REASON = 2_000
LONGEST_LABEL = 200
MOST_LABELS = 20
LONGEST_SECONDS = 365 * 86_400
NOTHING_DIFFERS = "Nothing differs from what holds now."
ONE_AT_A_TIME = "LOCK TABLE observability_rulegroup IN SHARE ROW EXCLUSIVE MODE"  # pages still read it
RACES: Errors = {"changes_of_a_rule_have_their_own_version": RuleChangedMeanwhile}

log = structlog.get_logger(__name__)


def wait_for_others() -> None:
    """Waits for the others that change many rules (a release, an import, a revert); until the end of the
    transaction they wait for this one. Call it before any rule is locked.

    A release locks rules in the order of its files, the others by their ids: two at the same time could
    otherwise wait for each other.
    """
    with connection.cursor() as cursor:
        cursor.execute(ONE_AT_A_TIME)


def require(actor: AbstractBaseUser, reason: str) -> None:
    """Raises MayNotTune or ReasonMissing."""
    if not isinstance(actor, PermissionsMixin) or not actor.has_perm(TUNE_RULE):
        raise MayNotTune
    if not reason.strip():
        raise ReasonMissing("Say why.")


def operator_named(email: str) -> AbstractBaseUser:
    """Returns the user with this address. Raises UnknownOperator."""
    try:
        return get_user_model().objects.get_by_natural_key(email)
    except ObjectDoesNotExist:
        raise UnknownOperator(email) from None


def rule_named(rule_id: int) -> AlertRule:
    """Returns the rule. Raises AlertRule.DoesNotExist."""
    return AlertRule.objects.select_related("group").get(pk=rule_id)


def newest(rule: AlertRule) -> RuleChange | None:
    return RuleChange.objects.filter(rule=rule).order_by("-version").first()


def require_seen(newest_change: RuleChange | None, seen_version: int) -> None:
    """Raises RuleChangedMeanwhile unless the operator has seen the newest change; 0 is none."""
    if (newest_change.version if newest_change else 0) != seen_version:
        raise RuleChangedMeanwhile


def append(
    rule: AlertRule, kind: RuleChange.Kind, actor: AbstractBaseUser, reason: str, version: int, **values: Any
) -> RuleChange:
    """Adds a change in the transaction of the caller, who expects RACES."""
    change = RuleChange.objects.create(
        rule=rule,
        kind=kind,
        version=version,
        actor_id=actor.pk,
        reason=reason.strip()[:LONGEST_REASON],
        request_id=current_request_id(),
        base=rule.base,
        **values,
    )
    transaction.on_commit(
        lambda: log.info(
            "alert_rule_changed", rule_id=rule.pk, kind=kind.value, version=version, actor_id=actor.pk
        )
    )
    return change


# --- What values may be ---


def wrong_labels(labels: Mapping[str, str], taken: Mapping[str, str] | None = None) -> list[str]:
    """Returns what is wrong with additional labels; `taken` are those of the rule itself."""
    problems = []
    if len(labels) > MOST_LABELS:
        problems.append(f"At most {MOST_LABELS} labels.")
    for name, value in labels.items():
        if not is_label_name(name):
            problems.append(f"{name!r} is no name of a label: use letters, digits and _, not __ first.")
        elif name in ("alertname", SEVERITY):
            problems.append(f"{name} has a field of its own.")
        elif taken and name in taken:
            problems.append(f"The rule has the label {name} already; what identifies it stays.")
        if not value or len(value) > LONGEST_LABEL:
            problems.append(f"The value of {name} needs 1 to {LONGEST_LABEL} characters.")
    return problems


def is_label_name(name: str) -> bool:
    is_word = name.isascii() and name.replace("_", "a").isalnum()
    return is_word and not name[0].isdigit() and not name.startswith("__") and len(name) <= LONGEST_LABEL


def wrong_seconds(seconds: float | None) -> list[str]:
    is_fine = seconds is None or 0 <= seconds <= LONGEST_SECONDS
    return [] if is_fine else ["Use 0 to 365 days."]


def wrong_url(url: str) -> list[str]:
    parts = urlsplit(url)
    is_fine = not url or (parts.scheme in ("http", "https") and bool(parts.netloc) and "{{" not in url)
    return [] if is_fine else ["Use an address with http:// or https://."]
