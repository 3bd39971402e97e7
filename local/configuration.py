"""The settings of a `make run`: the developer's own, and defaults for the rest in .run/env."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dotenv import dotenv_values

from local import bank, inbox
from local.services import kept_secret
from observability.notifiers import registry

ROOT = Path(__file__).resolve().parent.parent
RUN = ROOT / ".run"
DEMO_LOGIN = "demo@amani.local"
# The settings of all channels. Where none is set, the inbox receives what would go to them.
CHANNEL_VARIABLES = tuple(
    dict.fromkeys(
        name
        for notifier in registry.NOTIFIERS.values()
        for name in (*notifier.variables, notifier.address_variable)
    )
)


class ConfigurationError(RuntimeError):
    """A variable of the launcher that makes no sense."""


def port(given: Mapping[str, str], name: str, default: int) -> int:
    text = given.get(name) or str(default)
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 65536:
        raise ConfigurationError(f"{name} is {text!r}; it must be a port, a number from 1 to 65535.")
    return int(text)


@dataclass(frozen=True)
class Configuration:
    """`given`: what the developer set, in the environment (which wins) or in .env."""

    given: Mapping[str, str]
    host: str
    port: int
    prometheus_port: int
    alertmanager_port: int
    inbox_port: int
    bank_port: int = 8026

    @classmethod
    def read(cls) -> "Configuration":
        in_file = {name: value for name, value in dotenv_values(ROOT / ".env").items() if value is not None}
        given = in_file | dict(os.environ)
        return cls(
            given=given,
            host=given.get("HOST") or "127.0.0.1",
            port=port(given, "PORT", 8000),
            prometheus_port=port(given, "PROMETHEUS_PORT", 9090),
            alertmanager_port=port(given, "ALERTMANAGER_PORT", 9093),
            inbox_port=port(given, "INBOX_PORT", 8025),
            bank_port=port(given, "BANK_PORT", 8026),
        )

    def is_given(self, name: str) -> bool:
        return bool(self.given.get(name) or self.given.get(f"{name}_FILE"))

    def value(self, name: str) -> str:
        """What Amani will see, from the variable or from the file it names; empty if neither is set."""
        if self.given.get(name):
            return self.given[name]
        file = self.given.get(f"{name}_FILE")
        return Path(file).read_text().strip() if file else ""

    @property
    def public_url(self) -> str:
        return f"http://localhost:{self.port}"

    @property
    def local_url(self) -> str:
        """Where this machine reaches the application, whatever it is bound to."""
        host = "127.0.0.1" if self.host in {"0.0.0.0", "::"} else self.host  # noqa: S104 - compared, not bound
        return f"http://{host}:{self.port}"

    @property
    def is_development(self) -> bool:
        return self.given.get("DEBUG", "true").lower() in {"1", "true", "yes", "on", "y", "t"}

    @property
    def channel_given(self) -> str | None:
        """The variable by which the developer chose where alerts go."""
        return next(filter(self.is_given, CHANNEL_VARIABLES), None)

    @property
    def has_inbox(self) -> bool:
        return self.is_development and self.channel_given is None

    @property
    def has_bank(self) -> bool:
        """Whether the sandbox bank plays the payment provider."""
        is_sandbox = self.value("PAYMENT_PROVIDER") in {"", "sandbox"}
        return self.is_development and is_sandbox and not self.is_given("PAYMENT_SANDBOX_URL")

    def defaults(self, services: Mapping[str, str]) -> dict[str, str]:
        """Values for what the developer did not set; `services` are the addresses of the private ones."""
        secrets = RUN / "secrets"
        secrets.mkdir(parents=True, exist_ok=True)
        values = {
            "DEBUG": "true",
            "SECRET_KEY": kept_secret(secrets / "secret_key", random_bytes=40),
            "ENCRYPTION_KEYS": kept_secret(secrets / "encryption_key", random_bytes=32) + "=",
            "KYC_SEARCH_KEY": kept_secret(secrets / "kyc_search_key"),
            "ALERT_WEBHOOK_TOKEN": kept_secret(secrets / "alert_webhook_token"),
            "PUBLIC_URL": self.public_url,
            "PROMETHEUS_URL": f"http://localhost:{self.prometheus_port}",
            "ALERTMANAGER_URL": f"http://localhost:{self.alertmanager_port}",
            "PROMETHEUS_MULTIPROC_DIR": str(RUN / "metrics"),
            **services,
            **(inbox.settings(self.inbox_port) if self.has_inbox else {}),
            **(bank.settings(self.bank_port, kept_secret(secrets / "bank_key")) if self.has_bank else {}),
        }
        return {name: value for name, value in values.items() if not self.is_given(name)}


def write_env_file(values: Mapping[str, str], owner_url: str | None = None) -> None:
    """.run/env, which amani/settings.py reads: so `manage.py` talks to the running services.

    `owner_url` goes into a file of its own, for who names it: `DATABASE_URL_FILE=.run/owner_url`.
    """
    contents = {"env": "".join(f"{name}={quoted(value)}\n" for name, value in values.items())}
    if owner_url:
        contents["owner_url"] = owner_url
    for name, content in contents.items():
        file = RUN / name
        file.touch(mode=0o600)
        file.write_text(content)


def forget_env_file() -> None:
    """What .run/env names has stopped. Whatever starts from this checkout next must find neither DEBUG nor a
    stand-in for PagerDuty there."""
    for name in ("env", "owner_url"):
        (RUN / name).unlink(missing_ok=True)


def quoted(value: str) -> str:
    """The checkout's path may have a space, a # or a quote in it."""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def demo_password() -> str:
    """Made once for this checkout: there is no password that works everywhere."""
    return kept_secret(RUN / "secrets" / "demo_password", random_bytes=9)
