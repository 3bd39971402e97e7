"""Alert rules as rows: what the rule files say that this release ships."""

from __future__ import annotations

from datetime import timedelta

from django.db import models
from django.utils import timezone

SCOPE = "scope"  # the label by which rules of one name differ


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
    for_seconds = models.FloatField(default=0, help_text="How long it must hold until the alert fires.")
    keep_firing_for_seconds = models.FloatField(default=0)
    labels = models.JSONField(default=dict)
    annotations = models.JSONField(default=dict)
    added_at = models.DateTimeField(default=timezone.now)
    changed_at = models.DateTimeField(default=timezone.now, help_text="When a release last changed it.")
    removed_at = models.DateTimeField(null=True, blank=True, help_text="When a release no longer had it.")

    class Meta:
        default_permissions = ("view",)
        ordering = ["group__name", "position", "id"]
        constraints = [
            models.UniqueConstraint(fields=["group", "key"], name="rules_of_a_group_have_their_own_key")
        ]
        indexes = [models.Index(fields=["name"], name="alert_rule_by_name")]

    def __str__(self) -> str:
        return self.name

    @property
    def holds_for(self) -> timedelta:
        return timedelta(seconds=self.for_seconds)

    @property
    def severity(self) -> str:
        return str(self.labels.get("severity", ""))

    @property
    def scope(self) -> str:
        """Returns what tells it from other rules of its name in its group."""
        return str(self.labels.get(SCOPE, ""))

    @property
    def fixed_labels(self) -> dict[str, str]:
        """Returns the labels by which its alerts are recognised: those without a template."""
        return {name: value for name, value in self.labels.items() if "{{" not in value}
