from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("kyc", "0002_number_access")]

    operations = [
        migrations.RemoveIndex(model_name="case", name="case_queue_oldest_first"),
        migrations.AddIndex(
            model_name="case",
            index=models.Index(
                condition=models.Q(("state__in", ["submitted", "in_review"])),
                fields=["submitted_at", "id"],
                include=("state",),
                name="case_queue_oldest_first",
            ),
        ),
        migrations.AddIndex(
            model_name="case",
            index=models.Index(
                condition=models.Q(("state", "in_review")),
                fields=["claimed_until"],
                name="case_claim_to_lapse",
            ),
        ),
    ]
