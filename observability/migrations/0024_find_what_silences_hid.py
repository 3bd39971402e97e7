from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False  # so that alerts are stored while the indexes are built

    dependencies = [("observability", "0023_served_rules")]

    operations = [
        AddIndexConcurrently(
            model_name="episode",
            index=models.Index(
                condition=models.Q(("status__in", ["silenced", "notice"])),
                fields=["status", "-starts_at", "-id"],
                name="episode_of_few",
            ),
        ),
        AddIndexConcurrently(
            model_name="silence",
            index=models.Index(
                condition=models.Q(("state", "failed")), fields=["-id"], name="silence_failed"
            ),
        ),
        AddIndexConcurrently(
            model_name="suppression",
            index=models.Index(fields=["silence", "-id"], name="suppression_newest_first"),
        ),
        AddIndexConcurrently(
            model_name="rulesversion",
            index=models.Index(fields=["-published_at"], name="rules_by_publication"),
        ),
        AddIndexConcurrently(
            model_name="rulesversion",
            index=models.Index(fields=["state", "-number"], name="rules_by_state"),
        ),
    ]
