from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False  # so that alerts are stored while the index is built

    dependencies = [("observability", "0007_why_nobody_was_notified")]

    operations = [
        AddIndexConcurrently(
            model_name="receipt",
            index=models.Index(
                condition=models.Q(("truncated_alerts__gt", 0)), fields=["-id"], name="receipt_was_truncated"
            ),
        ),
    ]
