from django.apps import AppConfig
from django.db.models.signals import post_migrate


class KycConfig(AppConfig):
    name = "kyc"
    verbose_name = "KYC"

    def ready(self) -> None:
        from core import scrubbing
        from kyc import checks, constraints, erasure, metrics, names, roles  # noqa: F401  (creates the metrics at zero)
        from kyc.limits.shipped import ensure_limits
        from kyc.providers.registry import PROVIDERS

        constraints.register()
        erasure.register()
        names.register()
        for provider in PROVIDERS.values():
            scrubbing.learn(provider.secrets())
        roles.register()
        post_migrate.connect(ensure_limits, sender=self, dispatch_uid="kyc.ensure_limits")
