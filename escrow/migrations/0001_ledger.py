"""The ledger: its tables, its chart of accounts, and the function that alone writes it (docs/ledger.md)."""

import uuid
from pathlib import Path

import django.db.models.deletion
import django.db.models.expressions
import django.db.models.functions.datetime
import pgtrigger.compiler
import pgtrigger.migrations
from django.conf import settings
from django.db import migrations, models

SQL = Path(__file__).parent / "sql"

# The chart of accounts as it was when this migration was written: kind, is it the house's, floor, shards.
CHART = [
    ("escrow_held", False, 0, 1),
    ("seller_payable", False, 0, 1),
    ("buyer_refundable", False, 0, 1),
    ("payout_in_transit", False, 0, 1),
    ("provider_clearing", True, -(2**62), 16),
    ("platform_fee", True, -(2**62), 16),
    ("provider_fee", True, -(2**62), 16),
    ("suspense", True, -(2**62), 16),
    ("chargeback_loss", True, -(2**62), 16),
]


def write_chart(apps, schema_editor):
    LedgerAccountKind = apps.get_model("escrow", "LedgerAccountKind")
    LedgerAccountKind.objects.bulk_create(
        LedgerAccountKind(kind=kind, is_house=is_house, floor_minor=floor, shards=shards)
        for kind, is_house, floor, shards in CHART
    )


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="LedgerAccountKind",
            fields=[
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("escrow_held", "held for an escrow"),
                            ("seller_payable", "owed to a seller"),
                            ("buyer_refundable", "owed back to a buyer"),
                            ("payout_in_transit", "being paid out"),
                            ("provider_clearing", "at a payment provider"),
                            ("platform_fee", "fees earned"),
                            ("provider_fee", "fees of a payment provider"),
                            ("suspense", "received, owner not known"),
                            ("chargeback_loss", "lost to reversed payments"),
                        ],
                        max_length=20,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("is_house", models.BooleanField()),
                ("floor_minor", models.BigIntegerField()),
                ("shards", models.PositiveSmallIntegerField()),
            ],
            options={
                "db_table": "ledger_account_kind",
                "default_permissions": (),
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("shards__gte", 1)), name="a_kind_has_a_shard"),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("is_house", True), models.Q(("floor_minor", 0), ("shards", 1)), _connector="OR"
                        ),
                        name="a_customer_kind_has_floor_zero_and_one_balance",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="LedgerAccount",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("owner", models.CharField(blank=True, max_length=32)),
                ("currency", models.CharField(max_length=3)),
                ("is_house", models.BooleanField()),
                ("shards", models.PositiveSmallIntegerField()),
                ("created_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                (
                    "kind",
                    models.ForeignKey(
                        db_column="kind",
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        to="escrow.ledgeraccountkind",
                    ),
                ),
            ],
            options={
                "verbose_name": "account of the ledger",
                "verbose_name_plural": "accounts of the ledger",
                "db_table": "ledger_account",
                "ordering": ["id"],
                "default_permissions": ("view",),
            },
        ),
        migrations.CreateModel(
            name="LedgerBalance",
            fields=[
                ("shard", models.PositiveSmallIntegerField()),
                ("currency", models.CharField(max_length=3)),
                ("floor_minor", models.BigIntegerField()),
                ("posted_minor", models.BigIntegerField(db_default=0)),
                (
                    "version",
                    models.BigIntegerField(db_default=0, help_text="Counts the entries of this balance."),
                ),
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "account_id", "shard", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "account",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="balances",
                        to="escrow.ledgeraccount",
                    ),
                ),
            ],
            options={
                "db_table": "ledger_balance",
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="LedgerTransfer",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "public_id",
                    models.UUIDField(
                        db_default=models.Func(function="gen_random_uuid"), default=uuid.uuid4, unique=True
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("funding", "funding"),
                            ("funding_excess", "funding beyond what is due"),
                            ("funding_reversed", "funding taken back by the provider"),
                            ("release", "release to the seller"),
                            ("refund", "refund to the buyer"),
                            ("payout_requested", "payout requested"),
                            ("payout_settled", "payout settled"),
                            ("payout_failed", "payout failed"),
                            ("payout_returned", "payout returned after it settled"),
                            ("correction", "correction"),
                            ("reversal", "reversal of another transfer"),
                        ],
                        max_length=20,
                    ),
                ),
                (
                    "key",
                    models.CharField(
                        help_text="Of the request: a repeated one posts nothing.", max_length=100
                    ),
                ),
                (
                    "request_hash",
                    models.BinaryField(help_text="Of what was asked: a repeated key must ask the same."),
                ),
                ("entry_count", models.PositiveSmallIntegerField()),
                ("escrow_id", models.BigIntegerField(blank=True, null=True)),
                ("milestone_id", models.BigIntegerField(blank=True, null=True)),
                ("reason", models.CharField(blank=True, max_length=200)),
                ("request_id", models.CharField(blank=True, max_length=64)),
                ("event_at", models.DateTimeField(help_text="When it happened, where it happened.")),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), help_text="When it was posted."
                    ),
                ),
                (
                    "actor",
                    models.ForeignKey(
                        blank=True,
                        db_index=False,
                        help_text="Empty: Amani itself.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "resolves",
                    models.ForeignKey(
                        blank=True,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="escrow.ledgertransfer",
                    ),
                ),
                (
                    "reverses",
                    models.ForeignKey(
                        blank=True,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="escrow.ledgertransfer",
                    ),
                ),
            ],
            options={
                "verbose_name": "transfer",
                "db_table": "ledger_transfer",
                "ordering": ["id"],
                "default_permissions": ("view",),
            },
        ),
        migrations.CreateModel(
            name="LedgerEntry",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "position",
                    models.PositiveSmallIntegerField(help_text="Its place in the transfer, from 1."),
                ),
                ("shard", models.PositiveSmallIntegerField()),
                ("currency", models.CharField(max_length=3)),
                ("amount_minor", models.BigIntegerField(help_text="A credit is positive, a debit negative.")),
                ("version", models.BigIntegerField(help_text="Of the balance, after this entry.")),
                ("balance_before_minor", models.BigIntegerField()),
                ("balance_after_minor", models.BigIntegerField()),
                (
                    "account",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="entries",
                        to="escrow.ledgeraccount",
                    ),
                ),
                (
                    "transfer",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="entries",
                        to="escrow.ledgertransfer",
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "entries",
                "db_table": "ledger_entry",
                "ordering": ["id"],
                "default_permissions": ("view",),
            },
        ),
        migrations.AddConstraint(
            model_name="ledgeraccount",
            constraint=models.UniqueConstraint(
                fields=("owner", "kind", "currency"), name="one_account_per_owner"
            ),
        ),
        migrations.AddConstraint(
            model_name="ledgeraccount",
            constraint=models.UniqueConstraint(fields=("id", "currency"), name="an_account_has_one_currency"),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="ledgeraccount",
            trigger=pgtrigger.compiler.Trigger(
                name="an_account_is_kept",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func="RAISE EXCEPTION 'pgtrigger: Cannot update or delete rows from % table', TG_TABLE_NAME;",
                    hash="e7a9c35f4e0550b6a13313bf23cb2c262f07f440",
                    operation="UPDATE OR DELETE",
                    pgid="pgtrigger_an_account_is_kept_a1893",
                    table="ledger_account",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="ledgeraccount",
            trigger=pgtrigger.compiler.Trigger(
                name="accounts_are_kept",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func="RAISE EXCEPTION 'The rows of % are never deleted.', TG_TABLE_NAME;",
                    hash="c80eae1b816e70999fba87e10099bb0ecb4fb96b",
                    level="STATEMENT",
                    operation="TRUNCATE",
                    pgid="pgtrigger_accounts_are_kept_573bd",
                    table="ledger_account",
                    when="BEFORE",
                ),
            ),
        ),
        migrations.AddConstraint(
            model_name="ledgerbalance",
            constraint=models.CheckConstraint(
                condition=models.Q(("posted_minor__gte", models.F("floor_minor"))),
                name="a_balance_never_goes_below_its_floor",
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="ledgerbalance",
            trigger=pgtrigger.compiler.Trigger(
                name="a_balance_moves_by_one_version",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    condition="WHEN (NEW.version <> OLD.version + 1 OR (NEW.account_id, NEW.shard, NEW.currency, NEW.floor_minor) IS DISTINCT FROM (OLD.account_id, OLD.shard, OLD.currency, OLD.floor_minor))",
                    func="RAISE EXCEPTION 'pgtrigger: Cannot update rows from % table', TG_TABLE_NAME;",
                    hash="00d00930e57d642edd2c2dc4bb2f27f6e083baff",
                    operation="UPDATE",
                    pgid="pgtrigger_a_balance_moves_by_one_version_49e62",
                    table="ledger_balance",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="ledgerbalance",
            trigger=pgtrigger.compiler.Trigger(
                name="a_balance_is_kept",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func="RAISE EXCEPTION 'pgtrigger: Cannot delete rows from % table', TG_TABLE_NAME;",
                    hash="415ccb90d8ad07f906bc810f71576c57a5dc7e90",
                    operation="DELETE",
                    pgid="pgtrigger_a_balance_is_kept_dfb00",
                    table="ledger_balance",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="ledgerbalance",
            trigger=pgtrigger.compiler.Trigger(
                name="balances_are_kept",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func="RAISE EXCEPTION 'The rows of % are never deleted.', TG_TABLE_NAME;",
                    hash="68f81aef34408dc29e2c06940b322088b2cd1e9b",
                    level="STATEMENT",
                    operation="TRUNCATE",
                    pgid="pgtrigger_balances_are_kept_2d567",
                    table="ledger_balance",
                    when="BEFORE",
                ),
            ),
        ),
        migrations.AddIndex(
            model_name="ledgertransfer",
            index=models.Index(
                condition=models.Q(("escrow_id__isnull", False)),
                fields=["escrow_id"],
                name="transfer_of_escrow",
            ),
        ),
        migrations.AddConstraint(
            model_name="ledgertransfer",
            constraint=models.UniqueConstraint(fields=("kind", "key"), name="a_key_posts_once"),
        ),
        migrations.AddConstraint(
            model_name="ledgertransfer",
            constraint=models.UniqueConstraint(
                condition=models.Q(("reverses__isnull", False)),
                fields=("reverses",),
                name="a_transfer_is_reversed_once",
            ),
        ),
        migrations.AddConstraint(
            model_name="ledgertransfer",
            constraint=models.UniqueConstraint(
                condition=models.Q(("resolves__isnull", False)),
                fields=("resolves",),
                name="a_hold_is_resolved_once",
            ),
        ),
        migrations.AddConstraint(
            model_name="ledgertransfer",
            constraint=models.CheckConstraint(
                condition=models.Q(("entry_count__gte", 2)), name="a_transfer_has_two_entries"
            ),
        ),
        migrations.AddConstraint(
            model_name="ledgertransfer",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("kind", "reversal"), ("reverses__isnull", False)),
                    models.Q(models.Q(("kind", "reversal"), _negated=True), ("reverses__isnull", True)),
                    _connector="OR",
                ),
                name="a_reversal_reverses_a_transfer",
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="ledgertransfer",
            trigger=pgtrigger.compiler.Trigger(
                name="a_transfer_is_append_only",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func="RAISE EXCEPTION 'pgtrigger: Cannot update or delete rows from % table', TG_TABLE_NAME;",
                    hash="f98b6cfede266a75e388d81ccef4590d32b8a654",
                    operation="UPDATE OR DELETE",
                    pgid="pgtrigger_a_transfer_is_append_only_aa1be",
                    table="ledger_transfer",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="ledgertransfer",
            trigger=pgtrigger.compiler.Trigger(
                name="transfers_are_kept",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func="RAISE EXCEPTION 'The rows of % are never deleted.', TG_TABLE_NAME;",
                    hash="6806eb6f080981f8fa515d7633b62850cf432ce0",
                    level="STATEMENT",
                    operation="TRUNCATE",
                    pgid="pgtrigger_transfers_are_kept_19d1a",
                    table="ledger_transfer",
                    when="BEFORE",
                ),
            ),
        ),
        migrations.AddIndex(
            model_name="ledgerentry",
            index=models.Index(fields=["account", "id"], name="entry_of_account"),
        ),
        migrations.AddConstraint(
            model_name="ledgerentry",
            constraint=models.UniqueConstraint(
                fields=("transfer", "position"), name="an_entry_has_its_place"
            ),
        ),
        migrations.AddConstraint(
            model_name="ledgerentry",
            constraint=models.UniqueConstraint(
                fields=("account", "shard", "version"), name="a_balance_has_each_version_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="ledgerentry",
            constraint=models.CheckConstraint(
                condition=models.Q(("amount_minor", 0), _negated=True), name="an_entry_moves_money"
            ),
        ),
        migrations.AddConstraint(
            model_name="ledgerentry",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("amount_minor__gte", -1000000000000000), ("amount_minor__lte", 1000000000000000)
                ),
                name="an_entry_has_a_possible_amount",
            ),
        ),
        migrations.AddConstraint(
            model_name="ledgerentry",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "balance_after_minor",
                        django.db.models.expressions.CombinedExpression(
                            models.F("balance_before_minor"), "+", models.F("amount_minor")
                        ),
                    )
                ),
                name="an_entry_explains_its_balance",
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="ledgerentry",
            trigger=pgtrigger.compiler.Trigger(
                name="an_entry_is_append_only",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func="RAISE EXCEPTION 'pgtrigger: Cannot update or delete rows from % table', TG_TABLE_NAME;",
                    hash="a30caa3d34a5ef44a7bc4f8f475966d818aaa54d",
                    operation="UPDATE OR DELETE",
                    pgid="pgtrigger_an_entry_is_append_only_92eb3",
                    table="ledger_entry",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="ledgerentry",
            trigger=pgtrigger.compiler.Trigger(
                name="entries_are_kept",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func="RAISE EXCEPTION 'The rows of % are never deleted.', TG_TABLE_NAME;",
                    hash="c6e40c8e77fca982f17d33a3a80a6976b2a8e978",
                    level="STATEMENT",
                    operation="TRUNCATE",
                    pgid="pgtrigger_entries_are_kept_389fb",
                    table="ledger_entry",
                    when="BEFORE",
                ),
            ),
        ),
        migrations.RunPython(write_chart, migrations.RunPython.noop),
        migrations.RunSQL(
            (SQL / "0001_ledger_tables.sql").read_text(),
            "DROP TRIGGER entries_are_whole ON ledger_entry; DROP FUNCTION ledger_entries_are_whole;",
        ),
        migrations.RunSQL((SQL / "0001_ledger_post.sql").read_text(), "DROP FUNCTION ledger_post;"),
    ]
