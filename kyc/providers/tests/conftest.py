"""Fixtures: Smile ID over real HTTP, cases that it checks, and control of time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from kyc import cases
from kyc.models import Case, Check, ProviderEvent
from kyc.providers import work
from kyc.providers.tests.smile_stand_in import API_KEY, PARTNER_ID, SmileStandIn
from kyc.tests.people import make_person, submission

NAME = "Ada Obi"
WEBHOOK = "/api/v1/kyc/webhooks/smile_id"


@pytest.fixture(autouse=True)
def documents_in_memory(settings: Any) -> None:
    storage = {"BACKEND": "django.core.files.storage.InMemoryStorage"}
    settings.STORAGES = {**settings.STORAGES, "kyc": storage}


@pytest.fixture(autouse=True)
def rings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The doorbell's rings; no test needs a broker for them."""
    rung: list[str] = []
    monkeypatch.setattr("core.doorbell.Doorbell.ring", lambda self: rung.append("rung"))
    return rung


@pytest.fixture
def smile(settings: Any) -> Iterator[SmileStandIn]:
    stand_in = SmileStandIn()
    settings.KYC_PROVIDER = "smile_id"
    settings.SMILE_ID_PARTNER_ID = PARTNER_ID
    settings.SMILE_ID_API_KEY = API_KEY
    settings.SMILE_ID_BASE_URL = stand_in.url
    yield stand_in
    stand_in.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """For what hangs."""
    monkeypatch.setattr("kyc.providers.smile_id.provider.ASK_SECONDS", 1.0)
    monkeypatch.setattr("kyc.providers.smile_id.provider.UPLOAD_SECONDS", 1.0)


@pytest.fixture
def call_back(client: Client) -> Callable[..., Any]:
    """`call_back(content)` posts as Smile ID does; bytes are sent as they are."""

    def post(content: Any) -> Any:
        return client.post(WEBHOOK, data=content, content_type="application/json")

    return post


def submitted(**changes: Any) -> Check:
    """The check of a new case in the queue, not yet handed in."""
    person = make_person()
    person.full_name = NAME
    person.save(update_fields=["full_name"])
    case = cases.submit(person=person, **submission(**changes))
    return Check.objects.get(case=case)


def nin() -> Check:
    return submitted(document_type="nin", number="12345678901")


def sent(**changes: Any) -> Check:
    check = submitted(**changes)
    run()
    check.refresh_from_db()
    assert check.state == Check.State.SENT
    return check


def run() -> None:
    """A worker that finds everything due that waits."""
    make_due()
    work.run_due()


def make_due() -> None:
    now = timezone.now()
    Check.objects.filter(next_attempt_at__isnull=False).update(next_attempt_at=now)
    ProviderEvent.objects.filter(next_attempt_at__isnull=False).update(next_attempt_at=now)


def a_day_passes() -> None:
    """For what waits for its day to be over."""
    for check in Check.objects.all():
        Check.objects.filter(pk=check.pk).update(created_at=check.created_at - timedelta(hours=25))


def state_of(check: Check) -> tuple[str, str, str]:
    """State and result of the check, state of its case."""
    check.refresh_from_db()
    return check.state, check.result, Case.objects.get(pk=check.case_id).state
