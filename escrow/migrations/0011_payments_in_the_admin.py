from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False  # CONCURRENTLY refuses a transaction

    dependencies = [("escrow", "0010_escrows_in_the_admin")]

    operations = [
        AddIndexConcurrently(
            model_name="payout",
            index=models.Index(
                condition=models.Q(("state__in", ["settled", "failed", "returned"])),
                fields=["state", "id"],
                name="payout_ended_by_state",
            ),
        ),
        AddIndexConcurrently(
            model_name="collection",
            index=models.Index(
                condition=models.Q(("state__in", ["received", "unpaid", "reversed"])),
                fields=["state", "id"],
                name="collection_ended_by_state",
            ),
        ),
        AddIndexConcurrently(
            model_name="paymentevent",
            index=models.Index(
                condition=models.Q(("state__in", ["unmatched", "refused", "failed"])),
                fields=["state", "id"],
                name="payment_event_not_done",
            ),
        ),
    ]
