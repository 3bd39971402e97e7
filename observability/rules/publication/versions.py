"""Stores a version of the rules that should run. The worker publishes it; work.py says how."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import NamedTuple

import structlog
from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from core.doorbell import Doorbell
from core.leases import wait_for_turn
from observability.alerts.errors import ReasonMissing
from observability.models import AlertRule, RuleChange, RuleGroup, RulesVersion
from observability.rules.changing import wait_for_others
from observability.rules.effective import effective_groups, newest_changes
from observability.rules.files import Group
from observability.rules.publication.errors import (
    NoRules,
    NothingToPublish,
    PublicationOff,
    RulesChangedMeanwhile,
)
from observability.rules.render import FILE, render

HEADER = "# Version {} of the alert rules, made by Amani. Do not edit it: the next version replaces it.\n"
OPEN = (RulesVersion.State.WAITING, RulesVersion.State.PUBLISHING)
State = RulesVersion.State

doorbell = Doorbell("observability.tasks.publish_rules")
log = structlog.get_logger(__name__)


class Candidate(NamedTuple):
    """The rules as they would be published now."""

    files: Mapping[str, str]
    digest: str
    changes: Mapping[str, int]  # id of a rule -> version of its newest change
    rule_count: int


def is_on() -> bool:
    """Returns whether Amani publishes the rules. Otherwise a team keeps them in files of its own."""
    return bool(settings.ALERT_RULES_FOLDER or settings.ALERT_RULES_TOKEN)


def candidate() -> Candidate:
    return candidate_of(effective_groups(), newest_changes())


def candidate_of(groups: list[Group], changes: Mapping[int, RuleChange]) -> Candidate:
    files = render(groups)
    versions = {str(rule_id): change.version for rule_id, change in changes.items()}
    return Candidate(files, digest_of(files), versions, sum(len(group.rules) for group in groups))


def digest_of(files: Mapping[str, str]) -> str:
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(f"{name}\0{files[name]}\0".encode())
    return digest.hexdigest()


def newest_number() -> int:
    """Returns the number of the newest version; 0 without one."""
    return RulesVersion.objects.values_list("number", flat=True).first() or 0


def require_seen(seen: int | None, digest: str | None, rules: Candidate) -> None:
    """Raises RulesChangedMeanwhile unless the operator has seen the newest version and these rules.

    What is None is not compared.
    """
    number = newest_number()
    if seen not in (None, number) or digest not in (None, rules.digest):
        raise RulesChangedMeanwhile(number)


def present() -> RulesVersion | None:
    """Returns the version that is published, or will be: an open one comes before the published one."""
    return open_versions().first() or RulesVersion.objects.filter(state=State.PUBLISHED).first()


def published_before(version: RulesVersion) -> RulesVersion | None:
    """Returns the version that was the published one before this."""
    earlier = RulesVersion.objects.filter(number__lt=version.number, published_at__isnull=False)
    return earlier.first()


def open_versions() -> QuerySet[RulesVersion]:
    return RulesVersion.objects.filter(state__in=OPEN)


@transaction.atomic
def publish(
    *,
    author: AbstractBaseUser | None,
    reason: str,
    by: str = "",
    seen: int | None = None,
    digest: str | None = None,
    reverts_to: RulesVersion | None = None,
) -> RulesVersion:
    """Stores the rules as they are now as the next version, and wakes the worker. Returns it, waiting.

    `by`: what made it, where that is no operator. `seen`: the number of the newest version that the operator
    has seen, 0 when there was none; `digest`: of the rules that the operator has seen. Raises PublicationOff,
    ReasonMissing, NoRules, RulesChangedMeanwhile, NothingToPublish.
    """
    if not is_on():
        raise PublicationOff
    if not reason.strip():
        raise ReasonMissing("Say why the rules change: the version keeps the reason.")
    wait_for_changes()
    wait_for_turn(RulesVersion)
    rules, number, now_valid = candidate(), newest_number(), present()
    require_seen(seen, digest, rules)
    if not rules.rule_count:
        raise NoRules
    if now_valid is not None and now_valid.digest == rules.digest:
        raise NothingToPublish(now_valid.number)
    RulesVersion.objects.filter(state=State.WAITING).update(
        state=State.SUPERSEDED, finished_at=timezone.now(), next_attempt_at=None
    )
    version = RulesVersion.objects.create(
        number=number + 1,
        author_id=author.pk if author else None,
        author_text="" if author else by,
        reason=reason.strip(),
        reverts_to=reverts_to,
        files=with_number(rules.files, number + 1),
        digest=rules.digest,
        changes=rules.changes,
        rule_count=rules.rule_count,
    )
    transaction.on_commit(doorbell.ring)
    return version


def wait_for_changes() -> None:
    """Waits for the changes of rules that have begun; until the end of the transaction no other is stored.

    Rules and changes are read by several statements, and a version is to have both of the same moment.
    """
    wait_for_others()
    # Adding a rule locks the key of its group; what refers to a rule need not wait.
    list(RuleGroup.objects.select_for_update().order_by("pk").values_list("pk"))
    list(AlertRule.objects.select_for_update(no_key=True).order_by("pk").values_list("pk"))


def with_number(files: Mapping[str, str], number: int) -> dict[str, str]:
    return {name: HEADER.format(number) + text for name, text in files.items()}


def publish_release() -> RulesVersion | None:
    """Publishes the rules after `migrate`, if a release has changed them or none were published before.

    What operators tuned is kept: it is part of the rules as they should run.
    """
    if not is_on():
        return None
    try:
        reason = "The rules of this release, with what operators tuned."
        return publish(author=None, by=f"release {settings.RELEASE}"[:100], reason=reason)
    except (NothingToPublish, NoRules) as problem:
        log.info("rules_of_release_not_published", reason=str(problem))
        return None


def text_of(version: RulesVersion) -> str:
    """Returns the rule file of the version, as it is written."""
    return str(version.files[FILE])
