"""Stops of the money, and what the periodic check of the ledger remembers between its runs."""

from __future__ import annotations

import pgtrigger
from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

ONLY_ROW = 1


class MoneyStop(models.Model):
    """A time in which nothing is released or paid out: the snapshot opens it, an operator clears it.

    Its rows are kept, so it stays known who cleared a stop, and why.
    """

    class Cause(models.TextChoices):
        IMBALANCE = "imbalance", "the entries do not add up to zero"
        DRIFT = "drift", "balances disagree with their entries"
        NEGATIVE = "negative", "an account of a customer is below zero"

    cause = models.CharField(max_length=9, choices=Cause)
    detail = models.TextField(help_text="What was seen first.")
    opened_at = models.DateTimeField(default=timezone.now)
    cleared_at = models.DateTimeField(null=True, blank=True)
    cleared_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        db_index=False,
    )
    cleared_reason = models.TextField(blank=True)

    class Meta:
        default_permissions = ("view",)
        permissions = [("clear_moneystop", "Can let releases and payouts go on")]
        verbose_name = "stop of the money"
        verbose_name_plural = "stops of the money"
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["cause"], condition=Q(cleared_at__isnull=True), name="one_open_stop_per_cause"
            ),
            models.CheckConstraint(
                condition=Q(cleared_at__isnull=True, cleared_by__isnull=True, cleared_reason="")
                | (Q(cleared_at__isnull=False, cleared_by__isnull=False) & ~Q(cleared_reason="")),
                name="a_stop_is_cleared_by_an_operator_with_a_reason",
            ),
        ]
        triggers = [
            pgtrigger.Protect(name="a_stop_is_kept", operation=pgtrigger.Delete),
            pgtrigger.ReadOnly(name="a_stop_keeps_its_cause", fields=["cause", "detail", "opened_at"]),
            pgtrigger.Protect(
                name="a_cleared_stop_does_not_change",
                operation=pgtrigger.Update,
                condition=pgtrigger.Q(old__cleared_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"Stop {self.pk}: {self.cause}"


class LedgerCheckpoint(models.Model):
    """The sum of the entries of one kind of account in one currency, to which only new ones are added."""

    kind = models.CharField(max_length=20)
    currency = models.CharField(max_length=3)
    counted_minor = models.BigIntegerField(default=0, help_text="Of the entries up to counted_id.")
    seen_minor = models.BigIntegerField(default=0, help_text="Of all entries, at the last snapshot.")
    recounted_minor = models.BigIntegerField(default=0, help_text="Of the entries up to recounted_id.")
    changed_minor = models.BigIntegerField(
        default=0, help_text="By how much the last whole recount differed from what was counted."
    )

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(fields=["kind", "currency"], name="one_checkpoint_per_kind_and_currency")
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.currency}"


class LedgerWatch(models.Model):
    """How far the periodic check of the ledger has come; one row, which one check at a time locks."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=ONLY_ROW)
    counted_id = models.BigIntegerField(default=0, help_text="Every entry up to it is counted.")
    candidate_id = models.BigIntegerField(default=0, help_text="The next counted_id …")
    candidate_xid = models.BigIntegerField(default=0, help_text="… once all transactions before it ended.")
    checked_id = models.BigIntegerField(default=0, help_text="Every entry up to it was compared.")
    recounted_id = models.BigIntegerField(default=0, help_text="How far the recount of all entries is.")
    account_id = models.BigIntegerField(default=0, help_text="The balance compared last …")
    shard = models.PositiveSmallIntegerField(default=0, help_text="… and its shard.")
    taken_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        default_permissions = ()
        constraints = [models.CheckConstraint(condition=Q(id=ONLY_ROW), name="there_is_one_watch")]

    def __str__(self) -> str:
        return f"Counted up to entry {self.counted_id}"


class LedgerFinding(models.Model):
    """What the check found wrong, until it is right again. `entry_id` is 0 when it is the balance itself."""

    class Problem(models.TextChoices):
        DRIFT = "drift"
        NEGATIVE = "negative"

    account_id = models.BigIntegerField()
    shard = models.PositiveSmallIntegerField()
    entry_id = models.BigIntegerField(default=0)
    problem = models.CharField(max_length=8, choices=Problem)
    found_at = models.DateTimeField(default=timezone.now)

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(
                fields=["account_id", "shard", "entry_id", "problem"], name="a_finding_is_kept_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.problem} of account {self.account_id}"
