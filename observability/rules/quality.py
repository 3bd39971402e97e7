"""Says how useful rules were: how often each fired in the last 30 days, and what operators did about it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db import connection
from django.db.models import QuerySet
from django.utils import timezone

from observability.models import AlertRule, Episode
from observability.models.rules import SEVERITY

DAYS = 30
# A rule is judged by its newest alerts: so many rows of an index for each rule, however long the history is.
MOST_LOOKED_AT = 1_000
# Alerts of its name that are read to find them: other rules of that name may have caused most of them.
MOST_READ = 5_000
MOST_CHANGES = 100  # of a rule, for the severities that it had
FLAPS_WITHIN = timedelta(minutes=10)
# For one rule. The name is in the statement, so that the planner knows how many alerts have it: joined to
# many names, it may read all alerts of 30 days for each rule.
QUALITY = """
SELECT %(id)s::bigint, count(e.id), count(e.acknowledged_at),
    count(*) FILTER (WHERE e.mark = %(useful)s), count(*) FILTER (WHERE e.mark = %(noise)s),
    count(*) FILTER (WHERE e.starts_at - e.previous_end_at < %(flaps)s),
    percentile_cont(0.5) WITHIN GROUP (ORDER BY e.acknowledged_at - e.starts_at),
    percentile_cont(0.5) WITHIN GROUP (ORDER BY coalesce(e.ends_at, e.resolved_at) - e.starts_at),
    max(e.starts_at)
FROM (
    SELECT * FROM (
        SELECT * FROM observability_episode
        WHERE alertname = %(name)s AND starts_at >= %(since)s
        ORDER BY starts_at DESC LIMIT %(most_read)s
    ) AS named
    WHERE labels @> %(labels)s::jsonb AND (%(any_severity)s OR labels->>'severity' = ANY(%(severities)s))
    ORDER BY starts_at DESC LIMIT %(most)s
) AS e
"""
SEVERITIES = """
SELECT DISTINCT rule.id, change.severity, coalesce(change.base->'labels'->>'severity', '')
FROM unnest(%s::bigint[]) AS rule (id)
CROSS JOIN LATERAL (
    SELECT severity, base FROM observability_rulechange
    WHERE rule_id = rule.id ORDER BY version DESC LIMIT %s
) AS change
"""


class Quality(NamedTuple):
    """The last 30 days of one rule, at most its newest MOST_LOOKED_AT alerts. Times are medians."""

    fired: int = 0
    acknowledged: int = 0
    useful: int = 0
    noise: int = 0
    flapped: int = 0
    until_acknowledged: timedelta | None = None
    until_resolved: timedelta | None = None
    last_fired_at: datetime | None = None

    @property
    def fired_text(self) -> str:
        return f"{self.fired:,}{'+' if self.fired == MOST_LOOKED_AT else ''}"

    @property
    def is_never_acknowledged(self) -> bool:
        return self.fired > 0 and self.acknowledged == 0

    @property
    def is_mostly_noise(self) -> bool:
        return self.noise > self.useful


def quality_of(rules: Iterable[AlertRule]) -> dict[int, Quality]:
    """Returns the quality of each alerting rule by its id, with two statements."""
    judged = [rule for rule in rules if rule.kind == AlertRule.Kind.ALERT]
    if not judged:
        return {}
    severities = severities_of(judged)
    limits: dict[str, Any] = {
        "since": timezone.now() - timedelta(days=DAYS),
        "most": MOST_LOOKED_AT,
        "most_read": MOST_READ,
        "flaps": FLAPS_WITHIN,
        "useful": Episode.Mark.USEFUL,
        "noise": Episode.Mark.NOISE,
    }
    with connection.cursor() as cursor:
        parts = [cursor.mogrify(QUALITY, limits | of_rule(rule, severities[rule.pk])) for rule in judged]
        cursor.execute(" UNION ALL ".join(parts))
        return {row[0]: Quality(*row[1:]) for row in cursor.fetchall()}


def of_rule(rule: AlertRule, severities: list[str]) -> dict[str, Any]:
    """Returns the parameters of QUALITY that say which alerts are the rule's."""
    return {
        "id": rule.pk,
        "name": rule.name,
        "labels": json.dumps(rule.fixed_labels),
        "any_severity": not severities,
        "severities": severities,
    }


def severities_of(rules: Iterable[AlertRule]) -> dict[int, list[str]]:
    """Returns the severities that each rule has or had, by its id; none where the label is a template."""
    found = {rule.pk: {rule.severity} for rule in rules}
    with connection.cursor() as cursor:
        cursor.execute(SEVERITIES, [list(found), MOST_CHANGES])
        for rule_id, tuned, before in cursor.fetchall():
            found[rule_id] |= {tuned, before}
    return {
        pk: [] if any("{{" in each for each in severities) else sorted(filter(None, severities))
        for pk, severities in found.items()
    }


def alerts_of(rule: AlertRule) -> QuerySet[Episode]:
    """Selects the alerts that the rule has caused."""
    alerts = Episode.objects.filter(alertname=rule.name, labels__contains=rule.fixed_labels)
    severities = severities_of([rule])[rule.pk]
    return alerts.filter(**{f"labels__{SEVERITY}__in": severities}) if severities else alerts


def newest_alerts_of(rule: AlertRule, most: int) -> list[Episode]:
    """Returns the newest alerts that the rule has caused, among the newest MOST_READ of its name."""
    named = Episode.objects.filter(alertname=rule.name).order_by("-starts_at")
    edge = list(named.values_list("starts_at", flat=True)[MOST_READ : MOST_READ + 1])
    alerts = alerts_of(rule).order_by("-starts_at")
    return list((alerts.filter(starts_at__gt=edge[0]) if edge else alerts)[:most])


def rules_of(episode: Episode) -> list[AlertRule]:
    """Returns the rules that the alert may come from: of its name and labels, those of this release first."""
    named = AlertRule.objects.filter(name=episode.alertname, kind=AlertRule.Kind.ALERT)
    fitting = [
        rule
        for rule in named.select_related("group").order_by("id")
        if rule.fixed_labels.items() <= episode.labels.items()
    ]
    severities = severities_of(fitting)
    severity = episode.labels.get(SEVERITY, "")
    found = [rule for rule in fitting if not severities[rule.pk] or severity in severities[rule.pk]]
    return sorted(found, key=lambda rule: rule.removed_at is not None)
