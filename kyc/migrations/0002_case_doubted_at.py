"""A provider's late word against an approval. In two steps, so that no step holds a lock while it reads rows."""

from django.contrib.postgres.operations import AddConstraintNotValid
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("kyc", "0001_initial")]

    operations = [
        migrations.AddField(
            model_name="case",
            name="doubted_at",
            field=models.DateTimeField(
                blank=True,
                help_text="When the provider contradicted this approval; an approver decides.",
                null=True,
            ),
        ),
        AddConstraintNotValid(
            model_name="case",
            constraint=models.CheckConstraint(
                condition=models.Q(("doubted_at__isnull", True), ("state", "approved"), _connector="OR"),
                name="only_an_approval_is_doubted",
            ),
        ),
    ]
