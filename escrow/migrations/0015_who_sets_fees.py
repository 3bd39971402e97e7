from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("escrow", "0014_settled_payouts_are_asked_about")]

    operations = [
        migrations.AlterModelOptions(
            name="feerule",
            options={
                "default_permissions": ("view",),
                "ordering": ["currency", "-from_at"],
                "permissions": [("set_fees", "Can set fees")],
                "verbose_name": "fee",
            },
        ),
    ]
