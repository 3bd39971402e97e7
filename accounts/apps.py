from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "accounts"
    verbose_name = "Accounts"

    def ready(self) -> None:
        from accounts import (  # noqa: F401  (some only listen to signals)
            account_state,
            checks,
            constraints,
            export,
            limits,
            roles,
            second_factor,
            sign_in,
            staff_sessions,
            takeover,
        )
        from accounts.mail import metrics, outbox  # noqa: F401  (metrics: shown from the start, at zero)

        export.register(name="mails", collect=outbox.collect)
        roles.register()
        constraints.register()
