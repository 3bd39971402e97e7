"""Defines receipts: each request to the webhook, byte for byte, and how it was processed."""

from __future__ import annotations

import pgtrigger
from django.conf import settings
from django.db import models
from django.utils import timezone

from core.webhooks import Evidence


class Receipt(Evidence):
    """One request to the webhook. Its body is kept unchanged as evidence."""

    class Outcome(models.TextChoices):
        STORED = "stored"
        PARTIAL = "partial", "stored, some alerts set aside"
        FAILED = "failed", "could not be read"

    received_at = models.DateTimeField(default=timezone.now, editable=False, db_index=True)
    outcome = models.CharField(max_length=8, choices=Outcome)
    reason = models.TextField(blank=True, help_text="Why the body, or some of its alerts, was not stored.")
    receiver = models.CharField(max_length=200, blank=True, help_text="Alertmanager's receiver.")
    group_key = models.CharField(max_length=500, blank=True, help_text="Alertmanager's group, cut off.")
    alert_count = models.PositiveIntegerField(default=0)
    changed_count = models.PositiveIntegerField(default=0, help_text="Alerts that changed an episode.")
    truncated_alerts = models.PositiveIntegerField(
        default=0, help_text="Alerts Alertmanager left out (max_alerts)."
    )
    set_aside = models.JSONField(default=list, blank=True, help_text="Alerts not stored, each with a reason.")
    odd_fields = models.JSONField(
        default=list,
        db_default=[],
        blank=True,
        help_text="What was converted or left out in alerts that were stored.",
    )
    remote_address = models.CharField(max_length=64, blank=True)
    body = models.BinaryField(help_text="As received; request headers are never kept.")
    size = models.PositiveIntegerField(help_text="Bytes.")
    reprocessed_at = models.DateTimeField(null=True, blank=True, editable=False)
    reprocessed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        db_index=False,
    )

    class Meta:
        default_permissions = ("view",)
        permissions = [("reprocess_receipt", "Can process a failed receipt again")]
        ordering = ["-id"]
        indexes = [
            models.Index(
                fields=["-id"],
                name="receipt_needs_attention",
                condition=~models.Q(outcome="stored"),
            ),
            models.Index(
                fields=["-id"], name="receipt_was_truncated", condition=models.Q(truncated_alerts__gt=0)
            ),
        ]
        triggers = [
            pgtrigger.ReadOnly(
                name="receipt_is_evidence", fields=["received_at", "body", "size", "remote_address"]
            )
        ]

    def __str__(self) -> str:
        return f"Receipt {self.pk}"
