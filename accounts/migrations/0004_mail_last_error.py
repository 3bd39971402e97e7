"""Calls the field as all leased work does (core/leases.py). The column keeps its name, so no SQL runs."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0003_mail"),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.RenameField(model_name="mail", old_name="reason", new_name="last_error"),
                migrations.AlterField(
                    model_name="mail",
                    name="last_error",
                    field=models.TextField(
                        blank=True,
                        db_column="reason",
                        help_text="Why the last attempt failed, without any address.",
                    ),
                ),
            ],
        ),
    ]
