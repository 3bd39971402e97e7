"""System checks of the settings, which report problems at start, each with an id and a hint."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import ip_network
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error, Tags, register
from django.db import NotSupportedError, connections

from core.pooling import FOUND, is_pooled_by_transaction
from escrow.payments import registry as payment_providers
from kyc.providers import registry as providers
from observability import sentry
from observability.notifiers import registry
from observability.telemetry.traces import exporting

LONGEST_WATCHDOG_TIMEOUT = 240


@register(Tags.database)
def database_server(
    app_configs: Sequence[AppConfig] | None, *, databases: Sequence[str] | None = None, **kwargs: Any
) -> Iterable[CheckMessage]:
    """Runs in `migrate`, and in `check` with `--database default`."""
    for connection in (connections[name] for name in databases or ()):
        try:
            pooled = is_pooled_by_transaction(connection)
        except NotSupportedError as problem:
            hint = "Upgrade PostgreSQL (pg_upgrade)."
            yield Error(f"The database is too old: {problem}", hint=hint, id="amani.E009")
            continue
        if pooled and not settings.DATABASE_TRANSACTION_POOLING:
            yield Error(
                f"{FOUND}: prepared statements and cursors on the server would fail.",
                hint="For web set DATABASE_TRANSACTION_POOLING=true. Worker and migrate need "
                "pool_mode = session.",
                id="amani.E010",
            )


@register(deploy=True)
def webhook_token(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> Iterable[CheckMessage]:
    if not settings.ALERT_WEBHOOK_TOKEN:
        yield Error(
            "ALERT_WEBHOOK_TOKEN is not set: every alert is refused.",
            hint="Set it here and in alertmanager.yml (authorization.credentials_file).",
            id="amani.E001",
        )


@register
def routes(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> Iterable[CheckMessage]:
    for severity, channels in settings.ALERT_ROUTES.items():
        for channel in channels:
            if channel not in registry.NOTIFIERS:
                yield Error(
                    f"ALERT_ROUTES routes {severity} to {channel!r}, which is not a channel.",
                    hint=f"Channels: {', '.join(sorted(registry.NOTIFIERS))}.",
                    id="amani.E003",
                )


@register(deploy=True)
def channel_for_critical(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> Iterable[CheckMessage]:
    configured = {notifier.name for notifier in registry.configured()}
    if not configured & set(settings.ALERT_ROUTES["critical"]):
        yield Error(
            "No channel is configured for critical alerts: no operator would be notified.",
            hint=f"Set {registry.how_to_switch_on(registry.NOTIFIERS.values())}, "
            "and route critical to it in ALERT_ROUTES.",
            id="amani.E004",
        )
    for severity, channels in settings.ALERT_ROUTES.items():
        off = sorted(set(channels) & set(registry.NOTIFIERS) - configured)
        if off:
            yield checks.Warning(
                f"{severity} alerts are routed to {', '.join(off)}, which is off: its URL or key is not set.",
                hint=f"Set {registry.how_to_switch_on(map(registry.get, off))}, or change ALERT_ROUTES.",
                id="amani.W001",
            )


@register(deploy=True)
def watchdog(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> Iterable[CheckMessage]:
    if settings.WATCHDOG_TIMEOUT_SECONDS > LONGEST_WATCHDOG_TIMEOUT:
        yield checks.Warning(
            f"WATCHDOG_TIMEOUT_SECONDS is {settings.WATCHDOG_TIMEOUT_SECONDS}: operators are not notified of "
            "a dead Alertmanager within 5 minutes.",
            hint=f"Set {LONGEST_WATCHDOG_TIMEOUT} or less; the Watchdog comes every minute.",
            id="amani.W013",
        )
    if settings.WATCHDOG_FIRST_TIMEOUT_SECONDS <= 0:
        yield checks.Warning(
            "WATCHDOG_FIRST_TIMEOUT_SECONDS is 0: operators are not notified if alerts never arrive.",
            hint="Set how many seconds it may take to connect Prometheus and Alertmanager, for example 1800.",
            id="amani.W014",
        )


@register(deploy=True)
def metrics_access(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> Iterable[CheckMessage]:
    if not settings.METRICS_ALLOWED_NETWORKS and not settings.METRICS_TOKEN:
        yield checks.Warning(
            "Neither METRICS_TOKEN nor METRICS_ALLOWED_NETWORKS is set: Prometheus cannot read the metrics.",
            hint="Set METRICS_TOKEN, and Prometheus's authorization; or name its network.",
            id="amani.W016",
        )
    for network in settings.METRICS_ALLOWED_NETWORKS:
        if network in {ip_network("0.0.0.0/0"), ip_network("::/0")}:
            yield Error(
                f"METRICS_ALLOWED_NETWORKS contains {network}: every client can read the metrics.",
                hint="Set the network of Prometheus, or use METRICS_TOKEN.",
                id="amani.E005",
            )


@register(deploy=True)
def sentry_dsn(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> Iterable[CheckMessage]:
    if not settings.SENTRY_DSN:
        yield checks.Warning(
            "SENTRY_DSN is not set: errors are only in the log.",
            hint="Set SENTRY_DSN to the DSN of a project in Sentry or Bugsink.",
            id="amani.W005",
        )
    elif problem := sentry.dsn_problem(settings.SENTRY_DSN):
        yield Error(
            f"SENTRY_DSN is malformed ({problem}): errors are only in the log.",
            hint="It is https://key@host/number; copy it from the project's settings in Sentry.",
            id="amani.E006",
        )


@register
def tracing(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> Iterable[CheckMessage]:
    if settings.TRACING_ENABLED and settings.TRACING_EXPORTER == "otlp" and not has_collector():
        yield Error(
            "TRACING_EXPORTER is otlp, but no endpoint is set: every span would be lost.",
            hint="Set OTLP_ENDPOINT (https://host:4317 for gRPC, :4318 for HTTP) or another exporter.",
            id="amani.E007",
        )


@register(deploy=True)
def tracing_is_on(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> Iterable[CheckMessage]:
    if not settings.TRACING_ENABLED:
        yield checks.Warning(
            "TRACING_ENABLED is not set: alerts have no links to traces of requests.",
            hint="Set TRACING_ENABLED=true and TRACING_EXPORTER (docs/operations.md).",
            id="amani.W006",
        )


def has_collector() -> bool:
    """Returns whether Amani's own setting or one of OpenTelemetry's variables names a collector."""
    return bool(settings.OTLP_ENDPOINT or exporting.is_set("ENDPOINT"))


@register(deploy=True)
def insecure_flags(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> Iterable[CheckMessage]:
    if not settings.HTTPS:
        yield checks.Warning(
            "PUBLIC_URL is not https: sessions and the webhook token are sent in clear text.",
            hint="Put a TLS proxy in front, set PUBLIC_URL=https://… and TRUST_PROXY_SCHEME=true.",
            id="amani.W002",
        )
    if not settings.PROMETHEUS_MULTIPROC_DIR:
        yield checks.Warning(
            "PROMETHEUS_MULTIPROC_DIR is not set: each process would export only its own metrics.",
            hint="Set it to an empty folder, preferably on tmpfs, shared by web, worker and beat.",
            id="amani.W003",
        )
    for name in sorted({notifier.address_variable for notifier in registry.NOTIFIERS.values()}):
        if getattr(settings, name).startswith("http://"):
            yield checks.Warning(
                f"{name} is not https: its secret is sent in clear text.",
                hint=f"Use https:// in {name}.",
                id="amani.W004",
            )


@register(deploy=True)
def proxy_scheme(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> Iterable[CheckMessage]:
    if settings.SECURE_SSL_REDIRECT and not settings.TRUST_PROXY_SCHEME:
        yield checks.Warning(
            "SECURE_SSL_REDIRECT is on and TRUST_PROXY_SCHEME is off: behind a proxy that terminates TLS "
            "every page redirects to itself.",
            hint="Set TRUST_PROXY_SCHEME=true, and configure the proxy to overwrite X-Forwarded-Proto.",
            id="amani.W009",
        )


@register(deploy=True)
def mail(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> Iterable[CheckMessage]:
    if not settings.EMAIL_HOST:
        yield checks.Warning(
            "EMAIL_HOST is not set: codes for new accounts and forgotten passwords are printed, not sent.",
            hint="Set EMAIL_HOST, EMAIL_HOST_USER, EMAIL_HOST_PASSWORD and DEFAULT_FROM_EMAIL.",
            id="amani.W007",
        )


@register(deploy=True)
def second_factor(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> Iterable[CheckMessage]:
    if not settings.STAFF_MFA_REQUIRED:
        yield checks.Warning(
            "STAFF_MFA_REQUIRED is off: an operator's password alone is enough to sign in to the console.",
            hint="Remove STAFF_MFA_REQUIRED=false; operators enrol a factor when they next sign in.",
            id="amani.W008",
        )


@register
def kyc_provider(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> Iterable[CheckMessage]:
    provider = providers.get(settings.KYC_PROVIDER)
    if not provider.is_configured():
        yield Error(
            f"KYC_PROVIDER is {provider.name}, but {' or '.join(provider.variables)} is not set.",
            hint="Set all of them, or set KYC_PROVIDER=manual, so that reviewers decide without a provider.",
            id="amani.E008",
        )


@register
def payment_provider(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> Iterable[CheckMessage]:
    provider = payment_providers.get(settings.PAYMENT_PROVIDER)
    if provider.name != "sandbox" and not provider.is_configured():
        yield Error(
            f"PAYMENT_PROVIDER is {provider.name}, but {' or '.join(provider.variables)} is not set.",
            hint="Set all of them. Until then nothing is collected and nothing is paid out.",
            id="amani.E011",
        )


@register(deploy=True)
def sandbox_in_production(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> Iterable[CheckMessage]:
    """The sandbox itself refuses to work then (escrow/payments/sandbox/provider.py)."""
    if settings.PAYMENT_PROVIDER != "sandbox" or settings.DEBUG:
        return
    if settings.PAYMENT_SANDBOX_IN_PRODUCTION:
        yield checks.Warning(
            "PAYMENT_SANDBOX_IN_PRODUCTION is on: payments and payouts are only played.",
            hint="Set PAYMENT_PROVIDER=paystack and PAYSTACK_SECRET_KEY, unless this is a demonstration.",
            id="amani.W019",
        )
        return
    yield Error(
        "PAYMENT_PROVIDER is sandbox, which is refused in production: nothing is collected or paid out.",
        hint="Set PAYMENT_PROVIDER=paystack and PAYSTACK_SECRET_KEY. For a demonstration without real money "
        "set PAYMENT_SANDBOX_IN_PRODUCTION=true.",
        id="amani.E012",
    )
