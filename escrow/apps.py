from django.apps import AppConfig
from django.db.models.signals import post_migrate


class EscrowConfig(AppConfig):
    name = "escrow"
    verbose_name = "Escrow"

    def ready(self) -> None:
        from core import scrubbing
        from escrow import constraints, erasure, metrics, roles, snapshot_metrics  # noqa: F401  (creates metrics)
        from escrow.api import keys
        from escrow.escrows.shipped import ensure_fees
        from escrow.ledger import rights
        from escrow.payments import personal
        from escrow.payments.registry import PROVIDERS

        constraints.register()
        erasure.register()
        keys.register()
        rights.register()
        roles.register()
        personal.register()
        for provider in PROVIDERS.values():
            scrubbing.learn(provider.secrets())
        post_migrate.connect(ensure_fees, sender=self, dispatch_uid="escrow.ensure_fees")
