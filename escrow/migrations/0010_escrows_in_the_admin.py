from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False  # CONCURRENTLY refuses a transaction

    dependencies = [("escrow", "0009_collections")]

    operations = [
        AddIndexConcurrently(
            model_name="escrow",
            index=models.Index(
                condition=models.Q(("state__in", ["completed", "cancelled", "refunded", "closed_mixed"])),
                fields=["state", "id"],
                name="escrow_ended_by_state",
            ),
        ),
        AddIndexConcurrently(
            model_name="escrow",
            index=models.Index(
                condition=models.Q(("frozen_at__isnull", False)), fields=["frozen_at"], name="escrow_frozen"
            ),
        ),
    ]
