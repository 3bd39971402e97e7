"""Fixtures of the alert loop: fake vendors over real HTTP, a webhook client with its token."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.http import HttpResponse
from django.test import Client

from core.registry import Registry
from observability.notifiers import registry
from observability.notifiers.pagerduty.notifier import PagerDuty
from observability.notifiers.slack.notifier import Slack
from observability.routes import Routes, loading
from observability.tests.fake_alertmanager import FakeAlertmanager
from observability.tests.fake_sentry import FakeSentry
from observability.tests.monitoring_stand_in import MonitoringStandIn
from observability.tests.payloads import body
from observability.tests.processes import Scrape
from observability.tests.vendors import PAGERDUTY_OK, SLACK_OK, Vendor

TOKEN = "test-webhook-token-0123456789"


@pytest.fixture
def slack() -> Iterator[Vendor]:
    vendor = Vendor(SLACK_OK)
    yield vendor
    vendor.close()


@pytest.fixture
def pagerduty() -> Iterator[Vendor]:
    vendor = Vendor(PAGERDUTY_OK)
    yield vendor
    vendor.close()


@pytest.fixture
def monitoring(settings: Any) -> Iterator[MonitoringStandIn]:
    """Prometheus and Alertmanager, at the addresses of the settings."""
    stand_in = MonitoringStandIn()
    settings.PROMETHEUS_URL = settings.ALERTMANAGER_URL = stand_in.url
    yield stand_in
    stand_in.close()


@pytest.fixture
def alertmanager(settings: Any) -> Iterator[FakeAlertmanager]:
    """An Alertmanager that keeps silences, at the address of the settings."""
    fake = FakeAlertmanager()
    settings.ALERTMANAGER_URL = fake.url
    yield fake
    fake.close()


@pytest.fixture
def sentry_server() -> Iterator[FakeSentry]:
    server = FakeSentry()
    yield server
    server.close()


@pytest.fixture(autouse=True)
def two_channels(monkeypatch: pytest.MonkeyPatch) -> None:
    """One channel that keeps incidents and one that takes digests, whatever else Amani ships."""
    monkeypatch.setattr(registry, "NOTIFIERS", Registry("notifier", (PagerDuty(), Slack())))


@pytest.fixture(autouse=True)
def no_routes_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process has read no routes: those of the test before are gone."""
    monkeypatch.setattr(loading.kept, "routes", Routes(0, ()))


@pytest.fixture
def channels(slack: Vendor, pagerduty: Vendor, settings: Any) -> None:
    """Both channels on, without pacing, at the fake vendors."""
    settings.SLACK_WEBHOOK_URL = slack.url
    settings.PAGERDUTY_API_KEY = "R0123456789ABCDEFGHIJKLMNOPQRSTU"
    settings.PAGERDUTY_EVENTS_URL = pagerduty.url
    settings.SLACK_MESSAGES_PER_SECOND = 0
    settings.PAGERDUTY_EVENTS_PER_MINUTE = 0
    settings.NOTIFIER_READ_TIMEOUT = 0.5


@pytest.fixture(autouse=True)
def webhook_token(settings: Any) -> None:
    settings.ALERT_WEBHOOK_TOKEN = TOKEN
    settings.ALERT_WEBHOOK_TOKEN_PREVIOUS = ""


@pytest.fixture(autouse=True)
def rings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The channels the doorbell was rung for; no test needs a broker for it."""
    rung: list[str] = []
    monkeypatch.setattr("core.doorbell.Doorbell.ring", lambda self, *arguments: rung.extend(arguments))
    return rung


@pytest.fixture
def post_alerts(client: Client) -> Callable[..., HttpResponse]:
    """`post_alerts(alert(1), …)` posts them as Alertmanager would."""

    def post(*alerts: Any, raw: bytes | None = None, token: str = TOKEN, **headers: str) -> Any:
        return client.post(
            "/api/v1/alerts/webhook",
            data=body(*alerts) if raw is None else raw,
            content_type="application/json",
            headers={"Authorization": f"Bearer {token}", **headers},
        )

    return post


@pytest.fixture
def operator(django_user_model: Any) -> Callable[..., Any]:
    """`operator("viewer")` is a user with that role; "superuser" and "staff" (no role) are known too."""

    def make(role: str) -> Any:
        user = django_user_model.objects.create_user(
            f"{role}@example.com", is_staff=True, is_superuser=role == "superuser"
        )
        if role not in ("superuser", "staff"):
            user.groups.add(Group.objects.get(name=role))
        return user

    return make


@pytest.fixture
def sign_in(operator: Callable[..., Any]) -> Callable[..., Client]:
    """`sign_in("responder")` is the browser of a user with that role."""

    def signed_in(role: str, **options: Any) -> Client:
        client = Client(**options)
        client.force_login(operator(role))
        return client

    return signed_in


@pytest.fixture
def scrape(tmp_path: Path, settings: Any) -> Scrape:
    directory = tmp_path / "metrics"
    directory.mkdir()
    settings.PROMETHEUS_MULTIPROC_DIR = str(directory)
    return Scrape(directory)
