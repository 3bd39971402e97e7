"""Lists the secrets in the settings, so that the scrubber can find them in any text."""

from collections.abc import Iterator
from urllib.parse import quote, unquote, urlsplit

from django.conf import settings
from opentelemetry.util.re import parse_env_headers

from observability.notifiers import registry


def configured_secrets() -> Iterator[str]:
    """Yields each configured secret; "" for one that is not set."""
    yield settings.SECRET_KEY
    yield from settings.SECRET_KEY_FALLBACKS
    yield settings.ALERT_WEBHOOK_TOKEN
    yield settings.ALERT_WEBHOOK_TOKEN_PREVIOUS
    yield settings.METRICS_TOKEN
    yield settings.ALERT_RULES_TOKEN
    yield settings.PROMETHEUS_PASSWORD
    yield from settings.ENCRYPTION_KEYS
    yield settings.KYC_SEARCH_KEY
    yield settings.KYC_S3_SECRET_ACCESS_KEY
    yield settings.EMAIL_HOST_PASSWORD
    for notifier in registry.NOTIFIERS.values():
        yield from notifier.secrets()
    yield from parse_env_headers(settings.OTLP_HEADERS, liberal=True).values()
    for password in (
        settings.DATABASES["default"]["PASSWORD"],
        unquote(urlsplit(settings.REDIS_URL).password or ""),
    ):
        yield password
        yield quote(password, safe="")
    yield urlsplit(settings.SENTRY_DSN).username or ""
