from django.apps import AppConfig


class EscrowConfig(AppConfig):
    name = "escrow"
    verbose_name = "Escrow"

    def ready(self) -> None:
        from core import scrubbing
        from escrow import constraints, metrics  # noqa: F401  (creates the metrics at zero)
        from escrow.api import keys
        from escrow.ledger import rights
        from escrow.payments.registry import PROVIDERS

        constraints.register()
        keys.register()
        rights.register()
        for provider in PROVIDERS.values():
            scrubbing.learn(provider.secrets())
