from django.contrib.postgres.operations import AddIndexConcurrently, ValidateConstraint
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False  # CONCURRENTLY refuses a transaction

    dependencies = [("kyc", "0002_case_doubted_at")]

    operations = [
        ValidateConstraint(model_name="case", name="only_an_approval_is_doubted"),
        AddIndexConcurrently(
            model_name="case",
            index=models.Index(
                condition=models.Q(("doubted_at__isnull", False)), fields=["doubted_at"], name="case_doubted"
            ),
        ),
    ]
