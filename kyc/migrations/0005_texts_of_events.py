"""What is written about an event moves into rows that can be deleted, in two steps.

This one makes the table. The column `reason` of the events stays, with a default, because the version before
still writes it; the next release drops it.
"""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("kyc", "0004_describe_case_events")]

    operations = [
        migrations.CreateModel(
            name="CaseEventText",
            fields=[
                ("encrypted", models.BinaryField(help_text="By core/encryption.py.")),
                (
                    "event",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        related_name="written",
                        serialize=False,
                        to="kyc.caseevent",
                    ),
                ),
            ],
            options={"abstract": False, "default_permissions": ()},
        ),
        migrations.AlterField(
            model_name="caseevent", name="reason", field=models.TextField(blank=True, db_default="")
        ),
        migrations.SeparateDatabaseAndState(
            state_operations=[migrations.RemoveField(model_name="caseevent", name="reason")]
        ),
    ]
