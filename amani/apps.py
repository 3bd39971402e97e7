from django.apps import AppConfig


class AmaniConfig(AppConfig):
    name = "amani"
    verbose_name = "Amani"

    def ready(self) -> None:
        from amani import checks  # noqa: F401  (registers the system checks)
