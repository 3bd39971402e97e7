from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import migrations, models
from django.db.models import Q

ENDS = ("completed", "cancelled", "refunded", "closed_mixed")
MILESTONE_ENDS = ("resolved", "released", "refunded", "cancelled")


class Migration(migrations.Migration):
    atomic = False  # CONCURRENTLY refuses a transaction

    dependencies = [("escrow", "0007_state_since")]

    operations = [
        RemoveIndexConcurrently(model_name="escrow", name="escrow_open_by_state"),
        AddIndexConcurrently(
            model_name="escrow",
            index=models.Index(
                fields=["state", "state_since"], name="escrow_open_by_state", condition=~Q(state__in=ENDS)
            ),
        ),
        AddIndexConcurrently(
            model_name="milestone",
            index=models.Index(
                fields=["state", "state_since"],
                name="milestone_open_by_state",
                condition=~Q(state__in=MILESTONE_ENDS),
            ),
        ),
        AddIndexConcurrently(
            model_name="payout",
            index=models.Index(
                fields=["state", "state_since"],
                name="payout_open_by_state",
                condition=Q(state__in=["requested", "sent", "unknown"]),
            ),
        ),
    ]
