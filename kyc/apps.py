from django.apps import AppConfig
from django.db.models.signals import post_migrate


class KycConfig(AppConfig):
    name = "kyc"
    verbose_name = "KYC"

    def ready(self) -> None:
        from kyc import checks, erasure, metrics, names, roles  # noqa: F401  (creates the metrics at zero)
        from kyc.limits.shipped import ensure_limits

        erasure.register()
        names.register()
        roles.register()
        post_migrate.connect(ensure_limits, sender=self, dispatch_uid="kyc.ensure_limits")
