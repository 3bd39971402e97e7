from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate

import observability.telemetry.metrics  # noqa: F401  (before django_prometheus declares its metrics)


class ObservabilityConfig(AppConfig):
    name = "observability"
    verbose_name = "Operations"

    def ready(self) -> None:
        from core import outgoing, scrubbing
        from observability import constraints, roles
        from observability.telemetry import database
        from observability.telemetry.errors.trail import trail
        from observability.telemetry.secrets import configured_secrets

        scrubbing.learn(configured_secrets())
        database.connect()
        outgoing.listen(trail.add_call)
        roles.register()
        constraints.register()
        post_migrate.connect(make_channels, sender=self)
        post_migrate.connect(sync_rules, sender=self)


def make_channels(**_: Any) -> None:
    """Creates a row for each notifier, so that the admin shows its channel before the first message."""
    from observability.models import Channel
    from observability.notifiers import registry

    Channel.objects.bulk_create([Channel(name=name) for name in registry.NOTIFIERS], ignore_conflicts=True)


def sync_rules(**kwargs: Any) -> None:
    """Reads the shipped alert rules into the database."""
    from observability.rules.sync import sync_after_migrate

    sync_after_migrate(**kwargs)
