"""Alert rules as rows: what the rule files say that this release ships, what operators add and change."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pgtrigger
from django.conf import settings
from django.db import models
from django.utils import timezone

from observability.models.episode import Severity

SCOPE = "scope"  # the label by which rules of one name differ
SEVERITY = "severity"
OPERATORS = "operators"  # the group with the operators' own rules; no shipped group may have its name
COMPARISONS = (">", ">=", "<", "<=", "==", "!=")
DEFINITION = ("name", "expression", "for_seconds", "keep_firing_for_seconds", "labels", "annotations")
BASE = (*DEFINITION, "comparison", "threshold")  # what a change stores of its rule


class RuleGroup(models.Model):
    """A group of a rule file. Prometheus evaluates its rules one after another, in their order."""

    name = models.CharField(max_length=200)
    file = models.CharField(max_length=200, help_text="Its name below deploy/prometheus/rules/.")
    interval_seconds = models.FloatField(
        null=True, blank=True, help_text="Empty: Prometheus's evaluation_interval."
    )
    limit = models.PositiveIntegerField(
        null=True, blank=True, help_text="How many alerts or series a rule may have; empty: any number."
    )

    class Meta:
        default_permissions = ()
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["name"], name="groups_of_rules_have_their_own_name")]

    def __str__(self) -> str:
        return self.name


class AlertRule(models.Model):
    """A rule of Prometheus: it alerts, or it records a series that others use.

    `key` identifies it in its group over releases: its name, and what tells it from others of that name.
    """

    class Kind(models.TextChoices):
        ALERT = "alert", "alerting rule"
        RECORD = "record", "recorded series"

    group = models.ForeignKey(RuleGroup, on_delete=models.PROTECT, related_name="rules")
    key = models.CharField(max_length=300)
    position = models.PositiveIntegerField(help_text="Its place in the group.")
    kind = models.CharField(max_length=6, choices=Kind)
    name = models.CharField(max_length=200, db_collation="C")
    expression = models.TextField()
    # The expression, split by a parser at the number that decides about the value of the alert.
    series = models.TextField(blank=True, default="", db_default="")
    comparison = models.CharField(max_length=2, blank=True, default="", db_default="")
    threshold = models.FloatField(null=True, blank=True)
    unsplit_because = models.TextField(
        blank=True, default="", db_default="", help_text="Why it has no threshold."
    )
    for_seconds = models.FloatField(default=0, help_text="How long it must hold until the alert fires.")
    keep_firing_for_seconds = models.FloatField(default=0)
    labels = models.JSONField(default=dict)
    annotations = models.JSONField(default=dict)
    added_at = models.DateTimeField(default=timezone.now)
    changed_at = models.DateTimeField(default=timezone.now, help_text="When a release last changed it.")
    removed_at = models.DateTimeField(
        null=True, blank=True, help_text="When a release no longer had it, or an operator ended it."
    )

    class Meta:
        default_permissions = ("view",)
        permissions = [("tune_alertrule", "Can tune, add and publish alert rules")]
        ordering = ["group__name", "position", "id"]
        constraints = [
            models.UniqueConstraint(fields=["group", "key"], name="rules_of_a_group_have_their_own_key"),
            models.CheckConstraint(
                condition=models.Q(threshold=None, comparison="", series="")
                | models.Q(threshold__isnull=False, comparison__in=COMPARISONS, unsplit_because="")
                & ~models.Q(series=""),
                name="an_expression_is_split_whole_or_not_at_all",
            ),
        ]
        indexes = [models.Index(fields=["name"], name="alert_rule_by_name")]

    def __str__(self) -> str:
        return self.name

    @property
    def is_own(self) -> bool:
        """Returns whether operators added it; a release ships the others."""
        return self.group.name == OPERATORS

    @property
    def definition(self) -> dict[str, Any]:
        """Returns what the rule says."""
        return {name: getattr(self, name) for name in DEFINITION}

    @property
    def base(self) -> dict[str, Any]:
        """Returns what a change of the rule stores of it: what it says, and how its expression was split."""
        return {name: getattr(self, name) for name in BASE}

    @property
    def holds_for(self) -> timedelta:
        return timedelta(seconds=self.for_seconds)

    @property
    def severity(self) -> str:
        return str(self.labels.get(SEVERITY, ""))

    @property
    def scope(self) -> str:
        """Returns what tells it from other rules of its name in its group."""
        return str(self.labels.get(SCOPE, ""))

    @property
    def fixed_labels(self) -> dict[str, str]:
        """Returns the labels by which its alerts are recognised: those without a template.

        Not its severity, which may be tuned: `rules/quality.py` knows which severities it had.
        """
        return {name: value for name, value in self.labels.items() if name != SEVERITY and "{{" not in value}


class RuleChange(models.Model):
    """What an operator changed: the tuning of a shipped rule, or an own rule. Rows are only added.

    The newest row of a rule holds. Each row has the whole tuning, not a difference: a value that is NULL, or
    an empty text, is as shipped, so a row without values ends the tuning. `version` counts them: of two
    operators who saw the same version, the database accepts the first.
    """

    class Kind(models.TextChoices):
        TUNED = "tuned"
        CREATED = "created"
        EDITED = "edited"
        ENDED = "ended"

    rule = models.ForeignKey(AlertRule, on_delete=models.PROTECT, related_name="changes", db_index=False)
    version = models.PositiveIntegerField(help_text="1 is the first change of the rule.")
    kind = models.CharField(max_length=7, choices=Kind)
    at = models.DateTimeField(default=timezone.now)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        db_index=False,
        help_text="Empty: a command.",
    )
    reason = models.TextField()
    request_id = models.CharField(max_length=64, blank=True)
    base = models.JSONField(
        help_text="What the rule said then: of a shipped one the release, of an own one the operator."
    )
    threshold = models.FloatField(null=True, blank=True)
    expression = models.TextField(
        blank=True, default="", help_text="That of `base` with the tuned threshold."
    )
    for_seconds = models.FloatField(null=True, blank=True)
    keep_firing_for_seconds = models.FloatField(null=True, blank=True)
    severity = models.CharField(max_length=8, choices=Severity, blank=True, default="")
    enabled = models.BooleanField(null=True, blank=True, help_text="False: Prometheus does not get the rule.")
    labels = models.JSONField(null=True, blank=True, help_text="In addition to those of the rule.")
    runbook_url = models.TextField(blank=True, default="")

    VALUES = (
        "threshold",
        "for_seconds",
        "keep_firing_for_seconds",
        "severity",
        "enabled",
        "labels",
        "runbook_url",
    )

    class Meta:
        default_permissions = ()
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["rule", "version"], name="changes_of_a_rule_have_their_own_version"
            ),
            models.CheckConstraint(condition=models.Q(version__gte=1), name="changes_count_from_one"),
            models.CheckConstraint(condition=~models.Q(reason=""), name="a_change_of_a_rule_has_a_reason"),
            models.CheckConstraint(
                condition=models.Q(threshold=None, expression="")
                | (models.Q(threshold__isnull=False) & ~models.Q(expression="")),
                name="a_tuned_threshold_has_its_expression",
            ),
            models.CheckConstraint(
                condition=models.Q(
                    threshold=None,
                    for_seconds=None,
                    keep_firing_for_seconds=None,
                    severity="",
                    enabled=None,
                    labels=None,
                    runbook_url="",
                )
                | models.Q(kind="tuned"),
                name="only_a_tuned_rule_has_tuned_values",
            ),
            models.CheckConstraint(
                condition=models.Q(for_seconds=None) | models.Q(for_seconds__gte=0),
                name="a_tuned_rule_waits_no_negative_time",
            ),
            models.CheckConstraint(
                condition=models.Q(keep_firing_for_seconds=None) | models.Q(keep_firing_for_seconds__gte=0),
                name="a_tuned_rule_keeps_firing_for_no_negative_time",
            ),
            models.CheckConstraint(
                condition=models.Q(severity__in=["", *Severity.values]),
                name="a_tuned_severity_is_a_known_one",
            ),
            models.CheckConstraint(
                condition=models.Q(threshold=None)
                | models.Q(threshold__gt=float("-inf"), threshold__lt=float("inf")),
                name="a_tuned_threshold_is_a_number",
            ),
            models.CheckConstraint(
                condition=models.Q(enabled=None) | models.Q(enabled=False),
                name="a_rule_is_disabled_or_as_shipped",
            ),
        ]
        triggers = [pgtrigger.Protect(name="rule_change_is_append_only", operation=pgtrigger.Update)]

    def __str__(self) -> str:
        return f"version {self.version} of {self.rule_id}"
