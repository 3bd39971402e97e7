"""Fixtures: a mail server over real SMTP, the outbox, and control of time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from accounts.mail.tests.smtp_stand_in import SmtpStandIn, make_certificate


@pytest.fixture
def rings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The doorbell's rings; no test needs a broker for them."""
    rung: list[str] = []
    monkeypatch.setattr("core.doorbell.Doorbell.ring", lambda self: rung.append("rung"))
    return rung


@pytest.fixture
def outbox(settings: Any, rings: list[str]) -> None:
    """What is sent becomes rows, as in production."""
    settings.EMAIL_BACKEND = "accounts.mail.backend.OutboxBackend"
    settings.EMAIL_TIMEOUT = 10.0
    settings.DEFAULT_FROM_EMAIL = "Amani <no-reply@amani.example>"


@pytest.fixture
def server(settings: Any, outbox: None) -> Iterator[SmtpStandIn]:
    """In clear, without a login."""
    stand_in = SmtpStandIn()
    use(settings, stand_in)
    yield stand_in
    stand_in.close()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificate(tmp_path_factory.mktemp("mail") / "stand-in.pem")


@pytest.fixture
def trusted(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """OpenSSL reads its authorities from there."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    return certificate


def use(settings: Any, server: SmtpStandIn, **more: Any) -> None:
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", server.port
    settings.EMAIL_USE_SSL = server.encryption == "implicit"
    settings.EMAIL_USE_TLS = server.encryption == "starttls"
    settings.EMAIL_HOST_USER = settings.EMAIL_HOST_PASSWORD = ""
    for name, value in more.items():
        setattr(settings, name, value)
