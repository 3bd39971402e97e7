from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("observability", "0002_heartbeats_know_pauses"),
    ]

    operations = [
        migrations.AddField(
            model_name="episode",
            name="severity_is_unknown",
            field=models.BooleanField(
                db_default=False, default=False, help_text="The label has a value that Amani does not know."
            ),
        ),
        migrations.AddField(
            model_name="receipt",
            name="odd_fields",
            field=models.JSONField(
                blank=True,
                db_default=[],
                default=list,
                help_text="What was converted or left out in alerts that were stored.",
            ),
        ),
    ]
