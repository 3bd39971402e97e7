from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("observability", "0006_one_firing_episode_per_fingerprint"),
    ]

    operations = [
        migrations.AddField(
            model_name="episode",
            name="not_notified",
            field=models.CharField(
                blank=True,
                choices=[
                    ("severity_not_routed", "ALERT_ROUTES has no channel for its severity"),
                    ("sender_notifies", "Alertmanager notifies itself"),
                    ("no_channel", "no channel is configured for it"),
                ],
                db_default="",
                default="",
                help_text="Why no delivery was planned when it was stored.",
                max_length=20,
            ),
        ),
    ]
