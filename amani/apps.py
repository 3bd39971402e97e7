from django.apps import AppConfig
from django.contrib.admin import apps as admin_apps


class ConsoleConfig(admin_apps.AdminConfig):
    default = False
    default_site = "accounts.staff.OperatorsSite"


class AmaniConfig(AppConfig):
    name = "amani"
    verbose_name = "Amani"

    def ready(self) -> None:
        from amani import checks, metrics  # noqa: F401  (registers the system checks; shows zero as zero)
