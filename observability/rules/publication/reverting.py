"""Brings back what operators had tuned at an earlier version.

It is a new version, with changes of the rules like any others: so the tuning and the published file agree,
and each change that is taken back stays in the history. What a release changed since then stays.
"""

from __future__ import annotations

from typing import Any, TypeGuard

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction
from django.utils import timezone

from core.constraints import constraints_as
from core.leases import wait_for_turn
from core.request_id import current_request_id
from observability.alerts.errors import ReasonMissing, RuleChangedMeanwhile
from observability.models import AlertRule, RuleChange, RulesVersion
from observability.models.rules import BASE, DEFINITION
from observability.rules.changing import wait_for_others
from observability.rules.effective import groups_with, newest_changes
from observability.rules.expressions.reading import read
from observability.rules.files import key_of
from observability.rules.publication.versions import Candidate, candidate_of, publish, require_seen
from observability.rules.sync import columns_of

Changes = dict[int, RuleChange]
Kind = RuleChange.Kind


def tuned_as_in(version: RulesVersion) -> Candidate:
    """Returns today's rules with the tuning, and the operators' own rules, of the version."""
    then = changes_of(version)
    rows = [row for row in AlertRule.objects.select_related("group") if runs(row, then.get(row.pk))]
    return candidate_of(groups_with(rows, then), then)


def changes_of(version: RulesVersion) -> Changes:
    """Returns the change of each rule that was the newest when the version was made."""
    wanted = {int(rule_id): number for rule_id, number in version.changes.items()}
    changes = RuleChange.objects.filter(rule_id__in=wanted)
    return {change.rule_id: change for change in changes if change.version == wanted[change.rule_id]}


def runs(row: AlertRule, then: RuleChange | None) -> bool:
    """Returns whether the rule is among those of then, and makes an own rule what it said then."""
    if not row.is_own:
        return row.removed_at is None
    if not is_running(then):
        return False
    for name in BASE:
        setattr(row, name, then.base[name])
    return True


def is_running(change: RuleChange | None) -> TypeGuard[RuleChange]:
    """Returns whether an own rule ran after this change."""
    return change is not None and change.kind != Kind.ENDED


@transaction.atomic
def revert(
    *, version: RulesVersion, author: AbstractBaseUser, reason: str, seen: int, digest: str
) -> RulesVersion:
    """Makes the tuning what it was at `version`, and publishes it as the next version, which is returned.

    `seen`, `digest`: as in `publish`. Raises what `publish` raises; then no tuning is changed either.
    """
    if not reason.strip():
        raise ReasonMissing("Say why: the version and each change keep the reason.")
    wait_for_others()
    # The rules first, as an operator's change of one does, so that the two cannot wait for each other.
    rules = list(AlertRule.objects.select_related("group").select_for_update(of=("self",)).order_by("pk"))
    wait_for_turn(RulesVersion)
    require_seen(seen, digest, tuned_as_in(version))
    then, now = changes_of(version), newest_changes()
    with constraints_as({"changes_of_a_rule_have_their_own_version": RuleChangedMeanwhile}):
        for rule in rules:
            bring_back(rule, then.get(rule.pk), now.get(rule.pk), author, reason)
    return publish(author=author, reason=reason, digest=digest, reverts_to=version)


def bring_back(
    rule: AlertRule, then: RuleChange | None, now: RuleChange | None, author: AbstractBaseUser, reason: str
) -> None:
    """Adds the change that makes the rule what it was, unless it is."""
    if rule.is_own:
        bring_back_own(rule, then, now, author, reason)
    elif values_of(then) != values_of(now):
        base = then.base if then is not None else rule.base
        append(rule, Kind.TUNED, now, author, reason, base=base, **values_of(then))


def bring_back_own(
    rule: AlertRule, then: RuleChange | None, now: RuleChange | None, author: AbstractBaseUser, reason: str
) -> None:
    if not is_running(then):
        if is_running(now):
            rule.removed_at = timezone.now()
            rule.save(update_fields=["removed_at"])
            append(rule, Kind.ENDED, now, author, reason, base=rule.base)
        return
    if is_running(now) and rule.definition == {name: then.base[name] for name in DEFINITION}:
        return
    [reading] = read([then.base["expression"]])
    said = {name: then.base[name] for name in DEFINITION}
    values = {"key": key_of(said["name"], said["labels"]), **said, **columns_of(reading)}
    for name, value in {**values, "removed_at": None, "changed_at": timezone.now()}.items():
        setattr(rule, name, value)
    rule.save()
    append(rule, Kind.EDITED, now, author, reason, base=rule.base)


def values_of(change: RuleChange | None) -> dict[str, Any]:
    """Returns the tuned values; those of a rule that was never tuned are all empty."""
    return {name: getattr(change or RuleChange(), name) for name in (*RuleChange.VALUES, "expression")}


def append(
    rule: AlertRule,
    kind: RuleChange.Kind,
    now: RuleChange | None,
    author: AbstractBaseUser,
    reason: str,
    **values: Any,
) -> None:
    RuleChange.objects.create(
        rule=rule,
        version=now.version + 1 if now else 1,
        kind=kind,
        actor_id=author.pk,
        reason=reason.strip(),
        request_id=current_request_id(),
        **values,
    )
