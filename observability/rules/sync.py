"""Makes the rows of rules what the shipped files say. A rule that is gone stays, with the time of its end."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import structlog
from django.apps import apps as installed_apps
from django.db import transaction
from django.utils import timezone

from observability.alerts.errors import RuleFileWrong
from observability.models import AlertRule, RuleGroup
from observability.models.rules import OPERATORS
from observability.rules.changing import wait_for_others
from observability.rules.expressions.reading import ENDED, Reading, Split, read
from observability.rules.files import SHIPPED, Group, Rule, read_groups
from observability.rules.publication.versions import publish_release

log = structlog.get_logger(__name__)


class Synced(NamedTuple):
    added: int
    changed: int
    removed: int
    unchanged: int


def sync_after_migrate(*, plan: Any = None, apps: Any = installed_apps, **_: Any) -> None:
    """Handles `post_migrate`, which is also sent without a plan when tests empty the tables.

    Does nothing after a plan that goes back and has removed the tables. Without readable files, as in an
    image that has none, the rows stay as they are: a migration must not fail for it.
    """
    try:
        apps.get_model("observability", "AlertRule")
    except LookupError:
        return
    if plan is None:
        return
    try:
        sync_rules()
    except RuleFileWrong as problem:
        log.warning("alert_rules_not_read", error=str(problem))
        return
    publish_release()


@transaction.atomic
def sync_rules(folder: Path = SHIPPED) -> Synced:
    """Adds, changes and ends rows until they agree with the files. Raises RuleFileWrong; then nothing is
    changed.

    The operators' own rules and their tuning stay as they are: each change knows what the rule said then.
    """
    groups = read_groups(folder)
    if any(group.name == OPERATORS for group in groups):
        raise RuleFileWrong(
            str(folder), f"the group {OPERATORS} is for rules that operators add in the admin"
        )
    wait_for_others()
    shipped = AlertRule.objects.exclude(group__name=OPERATORS).select_related("group")
    known = {(row.group.name, row.key): row for row in shipped}
    readings = readings_of(groups, known.values())
    results = []
    for group in groups:
        row = sync_group(group)
        for position, rule in enumerate(group.rules):
            saved = known.pop((group.name, rule.key), None)
            results.append(sync_rule(saved, row, position, rule, readings.get(rule.expression)))
    gone = [row.pk for row in known.values() if row.removed_at is None]
    AlertRule.objects.filter(pk__in=gone).update(removed_at=timezone.now())
    return Synced(results.count("added"), results.count("changed"), len(gone), results.count("unchanged"))


def sync_group(group: Group) -> RuleGroup:
    row, _created = RuleGroup.objects.update_or_create(
        name=group.name,
        defaults={"file": group.file, "interval_seconds": group.interval_seconds, "limit": group.limit},
    )
    return row


def sync_rule(
    row: AlertRule | None, group: RuleGroup, position: int, rule: Rule, reading: Reading | None
) -> str:
    """Saves one rule and its split, if they differ; returns what became of its row."""
    said = rule._asdict() | {"removed_at": None}
    values = said | {"position": position} | columns_of(reading)
    if row is None:
        AlertRule.objects.create(group=group, **values)
        return "added"
    before = {name: getattr(row, name) for name in values}
    if before == values:
        return "unchanged"
    for name, value in values.items():
        setattr(row, name, value)
    if any(before[name] != said[name] for name in said):  # another place in the file is no other rule
        row.changed_at = timezone.now()
    row.save()
    return "changed"


def readings_of(groups: Iterable[Group], rows: Iterable[AlertRule]) -> dict[str, Reading]:
    """Returns how the expression of each alerting rule is split. One process reads what no row knows yet."""
    known = {row.expression: stored_reading(row) for row in rows if is_read(row)}
    wanted = {
        rule.expression for group in groups for rule in group.rules if rule.kind == AlertRule.Kind.ALERT
    }
    return known | {reading.expression: reading for reading in read(sorted(wanted - known.keys()))}


def is_read(row: AlertRule) -> bool:
    return row.threshold is not None or row.unsplit_because not in ("", ENDED)


def stored_reading(row: AlertRule) -> Reading:
    split = None if row.threshold is None else Split(row.series, row.comparison, row.threshold)
    return Reading(row.expression, split, row.unsplit_because)


def columns_of(reading: Reading | None) -> dict[str, Any]:
    """Returns the split as columns of the rule; a recorded series has none."""
    split = reading.split if reading else None
    return {
        "series": split.series if split else "",
        "comparison": split.comparison if split else "",
        "threshold": split.threshold if split else None,
        "unsplit_because": reading.reason if reading else "",
    }
