from django.apps import AppConfig, apps
from django.contrib.admin import apps as admin_apps
from django.db.models.signals import post_migrate


class ConsoleConfig(admin_apps.AdminConfig):
    default = False
    default_site = "accounts.staff.OperatorsSite"


class AmaniConfig(AppConfig):
    name = "amani"
    verbose_name = "Amani"

    def ready(self) -> None:
        from amani import checks, metrics, role_checks  # noqa: F401  (registers the checks; creates the metrics at zero)
        from core.imports import resume_collector
        from core.roles import ensure_roles

        # After the last app with models, when django.contrib.auth has created all permissions.
        post_migrate.connect(
            ensure_roles, sender=apps.get_app_config("observability"), dispatch_uid="amani.ensure_roles"
        )
        resume_collector()
