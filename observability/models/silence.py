"""Defines silences: what operators asked of Alertmanager and what it has, with who changed them and why."""

from __future__ import annotations

import uuid

import pgtrigger
from django.conf import settings
from django.db import models
from django.utils import timezone

from core.leases import LeasedWork
from observability.models.episode import Episode


class SilenceWindow(models.Model):
    """A time of day at which alerts are silenced again and again: each occurrence gets a silence of its own.

    Times are on the clock of `time_zone`; an end that is not after the beginning is on the following day.
    """

    matchers = models.JSONField(help_text="As Alertmanager's API has them.")
    reason = models.TextField()
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", db_index=False
    )
    time_zone = models.CharField(max_length=64, help_text="IANA, for example Africa/Lagos.")
    weekdays = models.JSONField(help_text="Of the beginning; 0 is Monday.")
    begins = models.TimeField()
    ends = models.TimeField()
    first_on = models.DateField()
    last_on = models.DateField()
    created_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True, blank=True)
    ended_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        db_index=False,
    )
    ended_reason = models.TextField(blank=True)

    class Meta:
        verbose_name = "recurring silence"
        default_permissions = ("view",)
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(last_on__gte=models.F("first_on")), name="window_ends_after_its_first_day"
            ),
            models.CheckConstraint(condition=~models.Q(reason=""), name="window_has_a_reason"),
        ]
        indexes = [
            models.Index(
                fields=["last_on"], name="window_in_force", condition=models.Q(ended_at__isnull=True)
            )
        ]

    def __str__(self) -> str:
        return f"Recurring silence {self.pk}"


class Silence(LeasedWork):
    """One silence. Alertmanager decides what it hides; this row says who wants it, why, and until when.

    `next_attempt_at` is set while Alertmanager has to be told something. `key` is in the comment of the
    silence in Alertmanager, so that a worker finds what an earlier one set and could not record.
    """

    class State(models.TextChoices):
        WANTED = "wanted", "being set"
        ACTIVE = "active", "set"
        ENDING = "ending", "being expired"
        EXPIRED = "expired"
        FAILED = "failed", "could not be set"

    UNFINISHED = (State.WANTED, State.ACTIVE, State.ENDING)

    key = models.UUIDField(default=uuid.uuid4, editable=False)
    matchers = models.JSONField(help_text="As Alertmanager's API has them: name, value, isRegex, isEqual.")
    reason = models.TextField()
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        db_index=False,
        help_text="Empty: it was not made in Amani.",
    )
    created_by = models.TextField(help_text="The author that Alertmanager shows.")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    state = models.CharField(max_length=7, choices=State, default=State.WANTED)
    alertmanager_id = models.CharField(max_length=64, blank=True)
    wanted_at = models.DateTimeField(default=timezone.now, help_text="When what it should be last changed.")
    set_at = models.DateTimeField(
        null=True, blank=True, help_text="When Alertmanager last accepted it or was seen with it."
    )
    episode = models.ForeignKey(
        Episode,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="silences",
        help_text="The alert from whose page it was made.",
    )
    window = models.ForeignKey(
        SilenceWindow,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="silences",
        db_index=False,
    )
    occurrence_on = models.DateField(
        null=True, blank=True, help_text="The day on which the occurrence of its window begins, on its clock."
    )
    reminded_at = models.DateTimeField(
        null=True, blank=True, help_text="When the reminder of its end was planned."
    )

    class Meta:
        default_permissions = ("view",)
        permissions = [("manage_silence", "Can create, extend and expire silences")]
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["key"], name="silences_have_their_own_key"),
            models.UniqueConstraint(
                fields=["alertmanager_id"],
                condition=~models.Q(alertmanager_id=""),
                name="one_row_per_silence_of_alertmanager",
            ),
            models.UniqueConstraint(
                fields=["window", "occurrence_on"],
                condition=models.Q(window__isnull=False),
                name="one_silence_for_each_occurrence",
            ),
            models.CheckConstraint(
                condition=models.Q(ends_at__gt=models.F("starts_at")), name="silence_ends_after_its_start"
            ),
            models.CheckConstraint(
                condition=models.Q(owner__isnull=True) | ~models.Q(reason=""), name="silence_has_a_reason"
            ),
        ]
        indexes = [
            models.Index(
                fields=["next_attempt_at"],
                name="silence_to_apply",
                condition=models.Q(next_attempt_at__isnull=False),
            ),
            models.Index(
                fields=["ends_at"],
                name="silence_unfinished",
                condition=models.Q(state__in=["wanted", "active", "ending"]),
            ),
            models.Index(fields=["-id"], name="silence_failed", condition=models.Q(state="failed")),
        ]
        triggers = [
            pgtrigger.ReadOnly(
                name="silence_identity_is_fixed",
                fields=["key", "matchers", "owner", "created_by", "window", "occurrence_on"],
            )
        ]

    def __str__(self) -> str:
        return f"Silence {self.pk}"

    @property
    def is_foreign(self) -> bool:
        """Returns whether it was made elsewhere, for example with amtool."""
        return self.owner_id is None


class Suppression(models.Model):
    """A time in which one silence hid one alert, as Alertmanager was seen with it."""

    silence = models.ForeignKey(Silence, on_delete=models.CASCADE, related_name="suppressions")
    episode = models.ForeignKey(Episode, on_delete=models.CASCADE, related_name="suppressions")
    began_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        default_permissions = ("view",)
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["episode", "silence"],
                condition=models.Q(ended_at__isnull=True),
                name="a_silence_hides_an_alert_once_at_a_time",
            ),
        ]
        indexes = [models.Index(fields=["silence", "-id"], name="suppression_newest_first")]

    def __str__(self) -> str:
        return f"Silence {self.silence_id} over alert {self.episode_id}"


class SilenceEvent(models.Model):
    """One event in the history of a silence. Rows are appended, never changed."""

    class Kind(models.TextChoices):
        CREATED = "created"
        SEEN = "seen", "seen in Alertmanager"
        SET = "set", "set in Alertmanager"
        EXTENDED = "extended"
        CHANGED = "changed", "changed in Alertmanager"
        LOST = "lost", "lost by Alertmanager"
        EXPIRE = "expire", "to be expired"
        EXPIRED = "expired"
        FAILED = "failed", "could not be set"
        REMINDED = "reminded", "reminder sent"

    silence = models.ForeignKey(Silence, on_delete=models.CASCADE, related_name="events")
    at = models.DateTimeField(default=timezone.now)
    kind = models.CharField(max_length=8, choices=Kind)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        db_index=False,
    )
    text = models.TextField(blank=True)
    request_id = models.CharField(max_length=64, blank=True)

    class Meta:
        default_permissions = ("view",)
        ordering = ["id"]
        triggers = [pgtrigger.Protect(name="silence_history_is_append_only", operation=pgtrigger.Update)]

    def __str__(self) -> str:
        return f"{self.kind} at {self.at:%Y-%m-%d %H:%M:%S}"
