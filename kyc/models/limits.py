"""Limits by tier, and how much of them each person has used."""

from __future__ import annotations

import pgtrigger
from django.conf import settings
from django.db import models
from django.utils import timezone

from kyc.models.counted import CountedLimitRule


class LimitKind(models.TextChoices):
    SINGLE = "single", "one payment"
    DAILY = "daily", "a day (UTC)"
    MONTHLY = "monthly", "a calendar month (UTC)"
    BALANCE = "balance", "held at one time"


class LimitRule(CountedLimitRule, models.Model):
    """A limit that is valid from a time on. Rows are added and never changed, so the history is complete."""

    tier = models.PositiveSmallIntegerField()
    currency = models.CharField(max_length=3, help_text="ISO 4217.")
    kind = models.CharField(max_length=8, choices=LimitKind)
    amount_minor = models.BigIntegerField(help_text="In the currency's smallest unit: kobo, cent.")
    valid_from = models.DateTimeField(default=timezone.now)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        db_index=False,
        help_text="Empty: a default limit of Amani.",
    )
    reason = models.TextField()

    class Meta:
        verbose_name = "limit"
        default_permissions = ("view",)
        permissions = [("change_limits", "Can set limits")]
        ordering = ["tier", "currency", "kind", "-valid_from", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["tier", "currency", "kind", "valid_from"], name="one_limit_per_moment"
            ),
            models.CheckConstraint(condition=models.Q(amount_minor__gte=0), name="a_limit_is_not_negative"),
        ]
        triggers = [
            pgtrigger.Protect(name="limit_rule_is_append_only", operation=pgtrigger.Update | pgtrigger.Delete)
        ]

    def __str__(self) -> str:
        return f"Tier {self.tier}, {self.currency}, {self.get_kind_display()}"


class LimitUsage(models.Model):
    """The amount that a person used in one window. A CHECK refuses more, also from concurrent requests."""

    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    currency = models.CharField(max_length=3)
    kind = models.CharField(max_length=8, choices=LimitKind)
    window_start = models.DateField(help_text="First day of the window (UTC); 1970-01-01 for a balance.")
    used_minor = models.BigIntegerField(default=0)
    cap_minor = models.BigIntegerField(help_text="The limit when it was last used.")

    class Meta:
        verbose_name = "used limit"
        default_permissions = ("view",)
        constraints = [
            models.UniqueConstraint(
                fields=["person", "currency", "kind", "window_start"], name="one_usage_per_window"
            ),
            models.CheckConstraint(
                condition=models.Q(used_minor__lte=models.F("cap_minor")), name="usage_stays_within_the_limit"
            ),
            models.CheckConstraint(condition=models.Q(used_minor__gte=0), name="usage_is_not_negative"),
        ]

    def __str__(self) -> str:
        return f"Person {self.person_id}"
