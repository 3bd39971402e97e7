from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False  # so that alerts are stored while the indexes are built

    dependencies = [("observability", "0017_what_silences_hide")]

    operations = [
        AddIndexConcurrently(
            model_name="episode",
            index=models.Index(
                condition=models.Q(("silenced_at__isnull", False), ("unsilenced_at__isnull", True)),
                fields=["fingerprint"],
                name="episode_silenced_now",
            ),
        ),
        AddIndexConcurrently(
            model_name="episode",
            index=models.Index(
                condition=models.Q(("silenced_at__isnull", False)),
                fields=["-starts_at", "-id"],
                name="episode_silenced_once",
            ),
        ),
    ]
