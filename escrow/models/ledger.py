"""The tables of the ledger. Only the SQL function `ledger_post` writes them (escrow/ledger/posting.py).

A credit is positive, a debit negative. So what Amani owes its customers is positive, what a provider holds
for Amani is negative, and the entries of a transfer add up to zero in each currency.
"""

from __future__ import annotations

import uuid

import pgtrigger
from django.conf import settings
from django.db import models
from django.db.models import F, Func, Q
from django.db.models.functions import Now

from escrow.models.chart import AccountKind, TransferKind

MOST_MINOR = 10**15  # of one entry: a bigint holds the sum of nine thousand of them
SHORTEST_TRANSFER = 2


def no_truncate(name: str) -> pgtrigger.Trigger:
    """Returns a trigger that refuses TRUNCATE, which row triggers do not see."""
    return pgtrigger.Trigger(
        name=name,
        level=pgtrigger.Statement,
        when=pgtrigger.Before,
        operation=pgtrigger.Truncate,
        func="RAISE EXCEPTION 'The rows of % are never deleted.', TG_TABLE_NAME;",
    )


class LedgerAccountKind(models.Model):
    """The chart of accounts, where the posting function reads it. Written by `migrate`."""

    kind = models.CharField(max_length=20, primary_key=True, choices=AccountKind)
    is_house = models.BooleanField()
    floor_minor = models.BigIntegerField()
    shards = models.PositiveSmallIntegerField()

    class Meta:
        db_table = "ledger_account_kind"
        default_permissions = ()
        constraints = [
            models.CheckConstraint(condition=Q(shards__gte=1), name="a_kind_has_a_shard"),
            models.CheckConstraint(
                condition=Q(is_house=True) | Q(floor_minor=0, shards=1),
                name="a_customer_kind_has_floor_zero_and_one_balance",
            ),
        ]

    def __str__(self) -> str:
        return self.kind


class LedgerAccount(models.Model):
    """One account of one owner in one currency, opened by the first posting to it.

    `owner`: the id of the escrow or user, or the name of the provider; "" where the house has one account.
    """

    kind = models.ForeignKey(LedgerAccountKind, on_delete=models.PROTECT, db_column="kind", db_index=False)
    owner = models.CharField(max_length=32, blank=True)
    currency = models.CharField(max_length=3)
    is_house = models.BooleanField()
    shards = models.PositiveSmallIntegerField()
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "ledger_account"
        default_permissions = ("view",)
        verbose_name = "account of the ledger"
        verbose_name_plural = "accounts of the ledger"
        ordering = ["id"]
        constraints = [
            # Owner first: the accounts of a user are found by it.
            models.UniqueConstraint(fields=["owner", "kind", "currency"], name="one_account_per_owner"),
            # What the foreign keys of balances and entries refer to.
            models.UniqueConstraint(fields=["id", "currency"], name="an_account_has_one_currency"),
        ]
        indexes = [models.Index(fields=["kind", "id"], name="account_of_kind")]
        triggers = [
            pgtrigger.Protect(name="an_account_is_kept", operation=pgtrigger.Update | pgtrigger.Delete),
            no_truncate("accounts_are_kept"),
        ]

    def __str__(self) -> str:
        return ":".join(part for part in (self.kind_id, self.owner, self.currency) if part)


class LedgerBalance(models.Model):
    """The balance of an account, or a part of it: the balance of a house account is the sum of its shards.

    The migration adds the foreign key (account, currency), and a fill factor that leaves room for updates on
    the same page.
    """

    account = models.ForeignKey(
        LedgerAccount, on_delete=models.PROTECT, related_name="balances", db_index=False, db_constraint=False
    )
    shard = models.PositiveSmallIntegerField()
    currency = models.CharField(max_length=3)
    floor_minor = models.BigIntegerField()
    posted_minor = models.BigIntegerField(db_default=0)
    version = models.BigIntegerField(db_default=0, help_text="Counts the entries of this balance.")
    pk = models.CompositePrimaryKey("account_id", "shard")

    class Meta:
        db_table = "ledger_balance"
        default_permissions = ()
        constraints = [
            models.CheckConstraint(
                condition=Q(posted_minor__gte=F("floor_minor")), name="a_balance_never_goes_below_its_floor"
            ),
        ]
        triggers = [
            pgtrigger.Protect(
                name="a_balance_moves_by_one_version",
                operation=pgtrigger.Update,
                condition=pgtrigger.Condition(
                    "NEW.version <> OLD.version + 1"
                    " OR (NEW.account_id, NEW.shard, NEW.currency, NEW.floor_minor)"
                    " IS DISTINCT FROM (OLD.account_id, OLD.shard, OLD.currency, OLD.floor_minor)"
                ),
            ),
            pgtrigger.Protect(name="a_balance_is_kept", operation=pgtrigger.Delete),
            no_truncate("balances_are_kept"),
        ]

    def __str__(self) -> str:
        return f"{self.account_id}/{self.shard}"


class LedgerTransfer(models.Model):
    """Money that moved: two or more entries that add up to zero in each currency.

    `escrow_id` and `milestone_id` are no foreign keys, because the ledger lies below what uses it.
    """

    public_id = models.UUIDField(default=uuid.uuid4, db_default=Func(function="gen_random_uuid"), unique=True)
    kind = models.CharField(max_length=20, choices=TransferKind)
    key = models.CharField(max_length=100, help_text="Of the request: a repeated one posts nothing.")
    request_hash = models.BinaryField(help_text="Of what was asked: a repeated key must ask the same.")
    entry_count = models.PositiveSmallIntegerField()
    escrow_id = models.BigIntegerField(null=True, blank=True)
    milestone_id = models.BigIntegerField(null=True, blank=True)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        db_index=False,
        help_text="Empty: Amani itself.",
    )
    reason = models.CharField(max_length=200, blank=True)
    request_id = models.CharField(max_length=64, blank=True)
    reverses = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.PROTECT, related_name="+", db_index=False
    )
    resolves = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.PROTECT, related_name="+", db_index=False
    )
    event_at = models.DateTimeField(help_text="When it happened, where it happened.")
    created_at = models.DateTimeField(db_default=Now(), help_text="When it was posted.")

    class Meta:
        db_table = "ledger_transfer"
        default_permissions = ("view",)
        verbose_name = "transfer"
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["kind", "key"], name="a_key_posts_once"),
            models.UniqueConstraint(
                fields=["reverses"], name="a_transfer_is_reversed_once", condition=Q(reverses__isnull=False)
            ),
            models.UniqueConstraint(
                fields=["resolves"], name="a_hold_is_resolved_once", condition=Q(resolves__isnull=False)
            ),
            models.CheckConstraint(
                condition=Q(entry_count__gte=SHORTEST_TRANSFER), name="a_transfer_has_two_entries"
            ),
            models.CheckConstraint(
                condition=Q(kind="reversal", reverses__isnull=False)
                | (~Q(kind="reversal") & Q(reverses__isnull=True)),
                name="a_reversal_reverses_a_transfer",
            ),
        ]
        indexes = [
            models.Index(
                fields=["escrow_id"], name="transfer_of_escrow", condition=Q(escrow_id__isnull=False)
            ),
        ]
        triggers = [
            pgtrigger.Protect(
                name="a_transfer_is_append_only", operation=pgtrigger.Update | pgtrigger.Delete
            ),
            no_truncate("transfers_are_kept"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.public_id}"


class LedgerEntry(models.Model):
    """One leg of a transfer, with the balance before and after it: a drift shows in one row.

    The migration adds the foreign key (account, currency), and a trigger that refuses entries that do not add
    up to zero or do not agree with the balances.
    """

    transfer = models.ForeignKey(
        LedgerTransfer, on_delete=models.PROTECT, related_name="entries", db_index=False
    )
    position = models.PositiveSmallIntegerField(help_text="Its place in the transfer, from 1.")
    account = models.ForeignKey(
        LedgerAccount, on_delete=models.PROTECT, related_name="entries", db_index=False, db_constraint=False
    )
    shard = models.PositiveSmallIntegerField()
    currency = models.CharField(max_length=3)
    amount_minor = models.BigIntegerField(help_text="A credit is positive, a debit negative.")
    version = models.BigIntegerField(help_text="Of the balance, after this entry.")
    balance_before_minor = models.BigIntegerField()
    balance_after_minor = models.BigIntegerField()

    class Meta:
        db_table = "ledger_entry"
        default_permissions = ("view",)
        verbose_name_plural = "entries"
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["transfer", "position"], name="an_entry_has_its_place"),
            models.UniqueConstraint(
                fields=["account", "shard", "version"], name="a_balance_has_each_version_once"
            ),
            models.CheckConstraint(condition=~Q(amount_minor=0), name="an_entry_moves_money"),
            models.CheckConstraint(
                condition=Q(amount_minor__gte=-MOST_MINOR, amount_minor__lte=MOST_MINOR),
                name="an_entry_has_a_possible_amount",
            ),
            models.CheckConstraint(
                condition=Q(balance_after_minor=F("balance_before_minor") + F("amount_minor")),
                name="an_entry_explains_its_balance",
            ),
        ]
        indexes = [models.Index(fields=["account", "id"], name="entry_of_account")]
        triggers = [
            pgtrigger.Protect(name="an_entry_is_append_only", operation=pgtrigger.Update | pgtrigger.Delete),
            no_truncate("entries_are_kept"),
        ]

    def __str__(self) -> str:
        return f"{self.currency} {self.amount_minor} of transfer {self.transfer_id}"
