"""Previews of rules: what an operator asked for, how far it is computed, and the result."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from core.leases import LeasedWork
from observability.models.rules import AlertRule


class RulePreview(LeasedWork):
    """What a rule would have done with other values, computed by the worker; kept for some days.

    `last_error` says why there is none. An operator has at most one that is not finished.
    """

    class State(models.TextChoices):
        WAITING = "waiting"
        DONE = "done"
        FAILED = "failed"

    rule = models.ForeignKey(AlertRule, on_delete=models.PROTECT, related_name="previews", db_index=False)
    asked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", db_index=False
    )
    state = models.CharField(max_length=7, choices=State, default=State.WAITING)
    days = models.PositiveSmallIntegerField()
    threshold = models.FloatField(null=True, help_text="NULL: the rule compares with no number.")
    for_seconds = models.FloatField()
    keep_firing_for_seconds = models.FloatField()
    percent = models.PositiveSmallIntegerField(default=0, help_text="How much of it is computed.")
    result = models.JSONField(null=True)

    class Meta:
        default_permissions = ()
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["asked_by"],
                condition=models.Q(finished_at=None),
                name="one_preview_at_a_time_per_operator",
            ),
            models.CheckConstraint(
                condition=models.Q(state="waiting", finished_at=None)
                | (models.Q(finished_at__isnull=False) & ~models.Q(state="waiting")),
                name="a_preview_is_finished_exactly_when_it_has_a_time",
            ),
            models.CheckConstraint(
                condition=(models.Q(state="done") & models.Q(result__isnull=False))
                | (~models.Q(state="done") & models.Q(result__isnull=True)),
                name="a_preview_has_a_result_exactly_when_it_is_done",
            ),
            models.CheckConstraint(condition=models.Q(days__in=[1, 7, 30]), name="a_preview_is_of_some_days"),
        ]
        indexes = [
            models.Index(
                fields=["next_attempt_at", "id"], name="preview_due", condition=models.Q(finished_at=None)
            ),
            models.Index(fields=["rule", "-id"], name="preview_by_rule"),
            models.Index(fields=["created_at"], name="preview_by_age"),
        ]

    def __str__(self) -> str:
        return f"preview {self.pk} of rule {self.rule_id}"
