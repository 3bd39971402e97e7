from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "accounts"
    verbose_name = "Accounts"

    def ready(self) -> None:
        from accounts import account_state, checks, export, limits, roles, second_factor, sign_in  # noqa: F401  (listen to signals)
        from accounts.mail import metrics, outbox  # noqa: F401  (metrics: shown from the start, at zero)

        export.register(name="mails", collect=outbox.collect)
        roles.register()
