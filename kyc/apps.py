from django.apps import AppConfig


class KycConfig(AppConfig):
    name = "kyc"
    verbose_name = "KYC"

    def ready(self) -> None:
        from kyc import checks, erasure, metrics  # noqa: F401  (metrics: shown from the start, at zero)

        erasure.register()
