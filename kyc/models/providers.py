"""Checks by providers, and the callbacks received from them."""

from __future__ import annotations

import pgtrigger
from django.conf import settings
from django.db import models
from django.utils import timezone

from core.leases import LeasedWork
from core.webhooks import Evidence
from kyc.models.cases import Case
from kyc.models.counted import CountedCheck, CountedProviderEvent


class Check(CountedCheck, LeasedWork):
    """An outbox row: one submission of a case to a provider, stored before the request is sent."""

    class State(models.TextChoices):
        PENDING = "pending", "to be sent"
        SENT = "sent", "sent, no result yet"
        DONE = "done", "result known"
        FAILED = "failed", "given up"
        CANCELLED = "cancelled", "the case was withdrawn or decided first"

    class Result(models.TextChoices):
        APPROVED = "approved"
        REJECTED = "rejected"
        UNCLEAR = "unclear", "a reviewer has to decide"

    case = models.ForeignKey(Case, on_delete=models.PROTECT, related_name="checks")
    provider = models.CharField(max_length=16)
    reference = models.CharField(
        max_length=64, unique=True, help_text="Our id of the job, created before the request."
    )
    provider_reference = models.CharField(max_length=100, blank=True, help_text="The provider's id.")
    state = models.CharField(max_length=10, choices=State, default=State.PENDING)
    result = models.CharField(max_length=10, choices=Result, blank=True)
    result_text = models.TextField(blank=True, help_text="The provider's text, without secrets.")

    class Meta:
        default_permissions = ("view",)
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["case"],
                condition=models.Q(state__in=["pending", "sent"]),
                name="one_running_check_per_case",
            ),
        ]
        indexes = [
            models.Index(
                fields=["next_attempt_at"],
                name="check_due",
                condition=models.Q(state__in=["pending", "sent"]),
            ),
            models.Index(
                fields=["lease_until"],
                name="check_leased",
                condition=models.Q(lease_until__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.provider} on {self.case_id}"


class ProviderEvent(CountedProviderEvent, Evidence):
    """A received callback with its unchanged body, stored before it is processed.

    Some callbacks with a wrong signature are stored too. The body has names and photographs, so it is
    encrypted, and the row is deleted after KYC_REJECTED_RETENTION_DAYS.
    """

    class State(models.TextChoices):
        PENDING = "pending", "to be processed"
        DONE = "done"
        IGNORED = "ignored", "nothing new"
        REFUSED = "refused", "wrong signature"
        FAILED = "failed", "given up"

    provider = models.CharField(max_length=16)
    event_id = models.CharField(max_length=128, help_text="The provider's id, or the hash of the body.")
    body = models.BinaryField(help_text="As received, encrypted by core/encryption.py.")
    signature_ok = models.BooleanField()
    state = models.CharField(max_length=8, choices=State, default=State.PENDING)
    reason = models.TextField(blank=True)
    check_row = models.ForeignKey(
        Check, null=True, blank=True, on_delete=models.PROTECT, related_name="events"
    )
    attempt_count = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField(default=timezone.now, null=True, blank=True)
    processed_at = models.DateTimeField(null=True, blank=True)
    asked_again_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        db_index=False,
        help_text="The operator who last had it processed again.",
    )
    asked_again_because = models.TextField(blank=True, db_default="")

    class Meta:
        verbose_name = "callback"
        default_permissions = ("view",)
        permissions = [("reprocess_providerevent", "Can process a provider's callback again")]
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["provider", "event_id"],
                condition=models.Q(signature_ok=True),
                name="a_callback_is_stored_once",
            ),
        ]
        indexes = [
            models.Index(
                fields=["next_attempt_at"], name="provider_event_due", condition=models.Q(state="pending")
            ),
            models.Index(
                fields=["provider", "received_at"],
                name="provider_event_refused",
                condition=models.Q(state="refused"),
            ),
            models.Index(fields=["received_at"], name="provider_event_by_age"),
        ]
        triggers = [
            pgtrigger.ReadOnly(
                name="provider_event_is_evidence",
                fields=["provider", "event_id", "received_at", "body", "signature_ok"],
            )
        ]

    def __str__(self) -> str:
        return f"Callback {self.pk}"
