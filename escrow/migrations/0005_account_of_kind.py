from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False  # CONCURRENTLY refuses a transaction

    dependencies = [("escrow", "0004_stops")]

    operations = [
        AddIndexConcurrently(
            model_name="ledgeraccount", index=models.Index(fields=["kind", "id"], name="account_of_kind")
        ),
    ]
