"""Defines the outbox: deliveries, each for one channel, with every attempt to send them."""

from __future__ import annotations

import pgtrigger
from django.conf import settings
from django.db import models
from django.utils import timezone

from observability.models.episode import Episode, Severity


class Channel(models.Model):
    """The pacing and health of one channel. Its row lock puts the claims of its deliveries in order."""

    name = models.CharField(max_length=20, primary_key=True)
    next_slot_at = models.DateTimeField(default=timezone.now, help_text="No message is sent before.")
    flagged_at = models.DateTimeField(null=True, blank=True)
    flag_reason = models.TextField(blank=True)

    class Meta:
        default_permissions = ("view",)

    def __str__(self) -> str:
        return self.name


class Delivery(models.Model):
    """One message to one channel: about one alert, or a digest of several (`members`)."""

    class Kind(models.TextChoices):
        TRIGGER = "trigger", "alert"
        ACKNOWLEDGE = "acknowledge", "acknowledgement"
        RESOLVE = "resolve", "resolved"
        UNCONFIRMED = "unconfirmed", "unconfirmed end"
        DIGEST = "digest"

    class State(models.TextChoices):
        PENDING = "pending", "waiting"
        SENDING = "sending"
        DIGESTED = "digested", "waiting in a digest"
        DELIVERED = "delivered"
        SUPERSEDED = "superseded", "no longer needed"
        FAILED = "failed", "rejected by the channel"
        DEAD = "dead", "given up"
        OFF = "off", "channel is off"

    UNFINISHED = (State.PENDING, State.SENDING, State.DIGESTED)

    episode = models.ForeignKey(
        Episode, null=True, blank=True, on_delete=models.CASCADE, related_name="deliveries"
    )
    channel = models.CharField(max_length=20)
    kind = models.CharField(max_length=12, choices=Kind)
    digest_of = models.CharField(max_length=12, blank=True, help_text="What a digest bundles.")
    severity = models.CharField(max_length=8, choices=Severity)
    round = models.PositiveSmallIntegerField(default=0, help_text="The round of the alert that it is about.")
    unacknowledged_minutes = models.PositiveIntegerField(
        null=True,
        blank=True,
        help_text="Of an escalation: for how long no operator had acknowledged the alert.",
    )
    priority = models.SmallIntegerField(help_text="The smallest is sent first: pages before updates.")
    state = models.CharField(max_length=10, choices=State, default=State.PENDING)
    reason = models.TextField(blank=True, help_text="Why it is in this state.")
    created_at = models.DateTimeField(default=timezone.now)
    next_attempt_at = models.DateTimeField(default=timezone.now)
    lease_until = models.DateTimeField(null=True, blank=True, help_text="Until when a worker has claimed it.")
    claim_slot = models.SmallIntegerField(
        null=True, blank=True, help_text="The worker that holds the lock of this slot sends it."
    )
    attempt_count = models.PositiveIntegerField(default=0)
    finished_at = models.DateTimeField(null=True, blank=True)
    digest = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.SET_NULL, related_name="members", db_index=False
    )
    resend_of = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.SET_NULL, related_name="resends", db_index=False
    )
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        db_index=False,
    )

    class Meta:
        verbose_name_plural = "deliveries"
        default_permissions = ("view",)
        permissions = [("resend_delivery", "Can send a delivery again")]
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["episode", "channel", "kind", "round"],
                condition=models.Q(resend_of__isnull=True, kind__in=["trigger", "resolve"]),
                name="one_page_per_episode_and_channel",
            ),
            models.CheckConstraint(
                condition=models.Q(kind="digest", episode__isnull=True)
                | (~models.Q(kind="digest") & models.Q(episode__isnull=False)),
                name="only_a_digest_has_no_episode",
            ),
        ]
        indexes = [
            models.Index(
                fields=["channel", "priority", "id"],
                name="delivery_to_claim",
                condition=models.Q(state__in=["pending", "sending"]),
            ),
            models.Index(
                fields=["-id"], name="delivery_gone_wrong", condition=models.Q(state__in=["failed", "dead"])
            ),
            models.Index(
                fields=["digest"], name="delivery_in_digest", condition=models.Q(digest__isnull=False)
            ),
            models.Index(
                fields=["resend_of"], name="delivery_resent", condition=models.Q(resend_of__isnull=False)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} to {self.channel}"


class Attempt(models.Model):
    """One attempt to send a delivery. Rows are appended, never changed: the database refuses an UPDATE."""

    class Outcome(models.TextChoices):
        DELIVERED = "delivered"
        RETRY = "retry", "to be retried"
        REJECTED = "rejected", "rejected"
        UNKNOWN = "unknown", "unknown: may have arrived"

    delivery = models.ForeignKey(Delivery, on_delete=models.CASCADE, related_name="attempts")
    number = models.PositiveIntegerField()
    at = models.DateTimeField(default=timezone.now)
    duration_ms = models.PositiveIntegerField(null=True, blank=True)
    outcome = models.CharField(max_length=10, choices=Outcome)
    http_status = models.PositiveSmallIntegerField(null=True, blank=True)
    response = models.TextField(blank=True, help_text="Cut off at 2,000 characters, secrets removed.")
    next_attempt_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        default_permissions = ("view",)
        ordering = ["delivery_id", "number"]
        constraints = [
            models.UniqueConstraint(fields=["delivery", "number"], name="attempts_are_numbered_once"),
        ]
        triggers = [pgtrigger.Protect(name="attempt_is_append_only", operation=pgtrigger.Update)]

    def __str__(self) -> str:
        return f"Attempt {self.number}: {self.outcome}"
