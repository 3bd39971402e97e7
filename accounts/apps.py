from django.apps import AppConfig, apps
from django.db.models.signals import post_migrate


class AccountsConfig(AppConfig):
    name = "accounts"
    verbose_name = "Accounts"

    def ready(self) -> None:
        from accounts import checks, export, second_factor, sign_in  # noqa: F401  (listen to django-allauth)
        from accounts.mail import metrics, outbox  # noqa: F401  (metrics: shown from the start, at zero)
        from accounts.roles import ensure_roles

        export.register(name="mails", collect=outbox.collect)
        # Connected after the handlers of django.contrib.auth, which create the permissions, because that app
        # comes earlier in INSTALLED_APPS.
        post_migrate.connect(
            ensure_roles, sender=apps.get_app_config("observability"), dispatch_uid="accounts.ensure_roles"
        )
