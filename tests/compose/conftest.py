"""The compose stack, started once for each file. `make stack-test` runs these tests, `make test` doesn't."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.compose.stack import PRODUCTION, Stack, started

if "AMANI_STACK_TEST" not in os.environ:
    collect_ignore_glob = ["test_*.py"]

# The encryption key is one, the others are long enough; PAYSTACK_BASE_URL leads nowhere.
IN_PRODUCTION = {
    "PUBLIC_URL": "https://amani.example.com",
    "ALLOWED_HOSTS": "amani.example.com",
    "ENCRYPTION_KEYS": "b25seS1mb3ItdGhlLXRlc3QtMDEyMzQ1Njc4OTAxMjM=",
    "COMPOSE_PROFILES": "exporters",
    "PAYMENT_PROVIDER": "paystack",
    "PAYSTACK_SECRET_KEY": "sk_test_of_the_stack_test",
    "PAYSTACK_SECRET_KEY_PREVIOUS": "sk_test_of_the_stack_test_before",
    **{
        name: f"only-for-the-stack-test-{name.lower()}-0123456789"
        for name in (
            "SECRET_KEY",
            "KYC_SEARCH_KEY",
            "ALERT_WEBHOOK_TOKEN",
            "METRICS_TOKEN",
            "POSTGRES_PASSWORD",
            "REDIS_PASSWORD",
            "PROMETHEUS_PASSWORD",
            "GRAFANA_ADMIN_PASSWORD",
        )
    },
}
IN_PRODUCTION_RUN = ("app", "worker", "beat", "prometheus", "postgres-exporter")


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """The demo."""
    with started(Stack()) as stack:
        yield stack


@pytest.fixture(scope="module")
def production() -> Iterator[Stack]:
    with started(Stack(PRODUCTION, IN_PRODUCTION_RUN, **IN_PRODUCTION)) as stack:
        yield stack
