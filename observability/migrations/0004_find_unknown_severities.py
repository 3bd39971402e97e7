from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False  # so that alerts are stored while the index is built

    dependencies = [("observability", "0003_severity_and_odd_fields")]

    operations = [
        AddIndexConcurrently(
            model_name="episode",
            index=models.Index(
                condition=models.Q(("severity_is_unknown", True)),
                fields=["-starts_at", "-id"],
                name="episode_severity_unknown",
            ),
        ),
    ]
