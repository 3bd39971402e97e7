from django.apps import AppConfig


class ObservabilityConfig(AppConfig):
    name = "observability"
    verbose_name = "Alerts"

    def ready(self) -> None:
        from observability import database

        database.connect()
