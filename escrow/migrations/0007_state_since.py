import django.db.models.functions.datetime
import django.utils.timezone
from django.db import migrations, models

SINCE = models.DateTimeField(
    db_default=django.db.models.functions.datetime.Now(),
    default=django.utils.timezone.now,
    help_text="When it entered its state.",
)


class Migration(migrations.Migration):
    dependencies = [("escrow", "0006_payouts")]

    operations = [
        migrations.AddField(model_name="escrow", name="state_since", field=SINCE),
        migrations.AddField(model_name="milestone", name="state_since", field=SINCE.clone()),
    ]
