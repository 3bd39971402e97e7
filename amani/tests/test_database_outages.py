"""Tests that writes answer 503 while the database is unavailable, and work afterwards."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from celery import Celery
from celery.app.trace import build_tracer
from django.contrib.sessions.backends.base import UpdateError
from django.db import DatabaseError, connection
from django.test import Client

from accounts.models import User
from accounts.session_store import SessionStore
from amani.celery import app
from amani.tests.people import ME, PASSWORD, Api, make_person
from core.sqlstates import Reason, outage_of
from observability.models import Episode, Heartbeat, Receipt
from observability.tasks import watch_pipeline
from observability.telemetry import health
from observability.tests import history
from observability.tests.payloads import alert, body
from observability.tests.read_only import read_only_database
from observability.tests.samples import Change
from observability.tests.test_sqlstates import FAULTS, ROWS, raise_in_database

TOKEN = "test-webhook-token-0123456789"
ADA = "ada@example.com"
HEARTBEAT = watch_pipeline.name


@pytest.fixture(autouse=True)
def usual(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.ALERT_WEBHOOK_TOKEN = TOKEN
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    settings.ACCOUNT_RATE_LIMITS = False
    monkeypatch.setattr("core.doorbell.Doorbell.ring", lambda _self, *_arguments: None)


class Surfaces:
    """One request to each part of Amani that writes. Everything they need is there beforehand."""

    def __init__(self) -> None:
        self.person = make_person(ADA)
        self.operator = make_person("operator@example.com", is_staff=True, is_superuser=True)
        for user in (self.person, self.operator):  # make_person's password may be hashed more slowly
            user.set_password(PASSWORD)
            user.save()
        self.episode = history.episode()
        self.api = Api(self.person)
        self.console = Client(raise_request_exception=False)
        self.console.force_login(self.operator)

    def webhook(self) -> Any:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        return self.post("/api/v1/alerts/webhook", body(alert(7)), headers=headers)

    def change_profile(self) -> Any:
        return self.api("PATCH", ME, {"full_name": "Ada Obi"})

    def sign_in_by_app(self) -> Any:
        return self.post("/_allauth/app/v1/auth/login", {"email": ADA, "password": PASSWORD})

    def sign_in_by_browser(self) -> Any:
        return self.post("/_allauth/browser/v1/auth/login", {"email": ADA, "password": PASSWORD})

    def sign_up(self) -> Any:
        return self.post("/_allauth/app/v1/auth/signup", {"email": "new@example.com", "password": PASSWORD})

    def sign_in_to_console(self) -> Any:
        fields = {"login": "operator@example.com", "password": PASSWORD}
        return Client(raise_request_exception=False).post("/accounts/login/", fields)

    def acknowledge(self) -> Any:
        address = f"/admin/observability/episode/{self.episode.pk}/acknowledge/"
        return self.console.post(address, {"reason": "looking"})

    def post(self, path: str, content: Any, **options: Any) -> Any:
        data = content if isinstance(content, bytes) else json.dumps(content)
        client = Client(raise_request_exception=False)
        return client.post(path, data, "application/json", **options)


FOR_PROGRAMS = {
    "webhook": 200,
    "change_profile": 200,
    "sign_in_by_app": 200,
    "sign_in_by_browser": 200,
    "sign_up": 401,  # allauth's answer for "now confirm your address"
}
FOR_PEOPLE = {"sign_in_to_console": 302, "acknowledge": 303}


@pytest.fixture
def surfaces() -> Surfaces:
    return Surfaces()


def assert_is_outage(name: str, answer: Any) -> None:
    assert (name, answer.status_code, answer.headers.get("Retry-After")) == (name, 503, "5")
    if name in FOR_PEOPLE:
        assert "<h1>Temporarily unavailable</h1>" in answer.content.decode()
    else:
        assert answer.json()["code"] == "unavailable"
    assert "read-only" not in answer.content.decode()


# --- Read-only ---


@pytest.mark.django_db(transaction=True)
def test_a_read_only_database_is_a_503_wherever_something_is_written_and_then_all_works(
    surfaces: Surfaces,
) -> None:
    counted = Change("amani_database_outages_total", reason="read_only")
    with read_only_database():
        for name in FOR_PROGRAMS | FOR_PEOPLE:
            assert_is_outage(name, getattr(surfaces, name)())
        assert surfaces.api("GET", ME).status_code == 200, "reading goes on"
        assert surfaces.console.get("/admin/").status_code == 200
    assert counted() >= len(FOR_PROGRAMS | FOR_PEOPLE)
    assert Receipt.objects.count() == 0
    assert User.objects.get(email=ADA).full_name == ""
    assert Episode.objects.get().acknowledged_at is None

    # The test's client keeps the connection of the last request, which has only read and is not cut.
    for name, status in (FOR_PROGRAMS | FOR_PEOPLE).items():
        answer = getattr(surfaces, name)()
        assert (name, answer.status_code) == (name, status), answer.content
    assert Receipt.objects.count() == 1
    assert User.objects.get(email=ADA).full_name == "Ada Obi"


@pytest.mark.django_db(transaction=True)
def test_a_webhook_on_a_connection_that_is_still_read_only_is_stored_on_a_new_one(
    surfaces: Surfaces,
) -> None:
    with read_only_database():
        assert surfaces.api("GET", ME).status_code == 200
    assert surfaces.webhook().status_code == 200
    assert Receipt.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_health_and_readiness_say_that_the_database_refuses_writes(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    Heartbeat.beat(Heartbeat.WORKER)
    monkeypatch.setattr(health, "readiness", health.Readiness())
    with read_only_database():
        for path in ("health", "readiness"):
            answer = client.get(f"/api/v1/{path}")
            database = answer.json()["checks"]["database"]
            assert (answer.status_code, database["status"]) == (503, "error")
            assert database["detail"] == "refuses writes: it is read-only or a standby"
    monkeypatch.setattr(health, "readiness", health.Readiness())
    assert client.get("/api/v1/health").status_code == 200
    assert client.get("/api/v1/readiness").status_code == 200


@pytest.mark.django_db(transaction=True)
def test_a_session_that_cannot_be_saved_is_an_outage_and_not_a_deleted_session() -> None:
    session = SessionStore()
    session["since"] = 1
    session.save()
    with read_only_database():
        known = SessionStore(session.session_key)
        known["since"] = 2
        with pytest.raises(DatabaseError) as caught:
            known.save()
        new = SessionStore()
        with pytest.raises(DatabaseError):
            new.save(must_create=True)
    found = outage_of(caught.value)
    assert found is not None
    assert found.reason is Reason.READ_ONLY
    known.save()
    assert SessionStore(session.session_key)["since"] == 2


@pytest.mark.django_db
def test_a_session_that_was_deleted_is_still_found_to_be_deleted() -> None:
    session = SessionStore()
    session.save()
    SessionStore(session.session_key).delete()
    with pytest.raises(UpdateError):
        session.save()


# --- Every other row of the table, through the views ---


@contextmanager
def refusing(table: str, sqlstate: str) -> Iterator[None]:
    """`table` takes no row: PostgreSQL raises `sqlstate` at once."""
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
            f" $$ BEGIN RAISE EXCEPTION 'secret' USING ERRCODE = '{sqlstate}'; END $$;"
            f"CREATE TRIGGER refuse BEFORE INSERT ON {table} EXECUTE FUNCTION refuse()"
        )
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP FUNCTION refuse CASCADE")


@pytest.mark.django_db(transaction=True)
def test_every_outage_of_the_table_is_a_503_of_webhook_sign_in_and_api(
    surfaces: Surfaces, monkeypatch: pytest.MonkeyPatch
) -> None:
    for sqlstate, _, _ in ROWS:
        with refusing("observability_receipt", sqlstate):
            assert_is_outage("webhook", surfaces.webhook())
        with refusing("django_session", sqlstate):
            assert_is_outage("sign_in_to_console", surfaces.sign_in_to_console())
        monkeypatch.setattr(
            "accounts.api.update_profile", lambda _state=sqlstate, **_: raise_in_database(_state)
        )
        assert_is_outage("change_profile", surfaces.change_profile())
    assert Receipt.objects.count() == 0
    assert surfaces.webhook().status_code == 200


@pytest.mark.django_db(transaction=True)
def test_everything_else_is_a_fault_of_ours(surfaces: Surfaces, monkeypatch: pytest.MonkeyPatch) -> None:
    for sqlstate in FAULTS:
        monkeypatch.setattr(
            "accounts.api.update_profile", lambda _state=sqlstate, **_: raise_in_database(_state)
        )
        answer = surfaces.change_profile()
        assert (sqlstate, answer.status_code, answer.json()["code"]) == (sqlstate, 500, "internal_error")
        assert "Retry-After" not in answer.headers


@pytest.mark.django_db(transaction=True)
def test_a_webhook_that_fails_by_our_fault_is_sent_again_and_reported(
    surfaces: Surfaces, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    reported: list[BaseException] = []
    monkeypatch.setattr("observability.webhooks.capture_exception", reported.append)
    with refusing("observability_receipt", "42P01"):
        assert_is_outage("webhook", surfaces.webhook())
    assert [type(problem).__name__ for problem in reported] == ["ProgrammingError"]
    assert [
        record.exc_info is not None for record in caplog.records if "webhook_failed" in str(record.msg)
    ] == [True]
    with refusing("observability_receipt", "53100"):
        assert_is_outage("webhook", surfaces.webhook())
    assert len(reported) == 1


# --- Tasks ---


def run_as_worker(celery: Celery, name: str) -> None:
    """As a worker's child runs it."""
    task = celery.tasks[name]
    build_tracer(name, task, app=celery)("id", [], {}, {"id": "id", "delivery_info": {}, "hostname": "test"})


@pytest.mark.django_db(transaction=True)
def test_a_task_meets_an_outage_without_a_traceback_and_the_next_one_works(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    reported: list[object] = []
    monkeypatch.setattr("observability.sentry.report", lambda *_, **__: reported.append(1))
    caplog.set_level("INFO")
    outages = Change("amani_celery_tasks_total", task=HEARTBEAT, outcome="outage")
    failures = Change("amani_celery_tasks_total", task=HEARTBEAT, outcome="failure")
    successes = Change("amani_celery_tasks_total", task=HEARTBEAT, outcome="success")
    with read_only_database():
        for _ in range(3):
            run_as_worker(app, HEARTBEAT)
    assert (outages(), failures(), successes()) == (3, 0, 0)
    assert reported == []
    assert [record for record in caplog.records if record.exc_info] == []
    logged = [record.msg for record in caplog.records if isinstance(record.msg, dict)]
    assert [line["reason"] for line in logged if line["event"] == "task_ended_by_outage"] == ["read_only"] * 3
    assert not Heartbeat.objects.exists()

    run_as_worker(app, HEARTBEAT)
    assert (outages(), failures(), successes()) == (3, 0, 1)
    assert Heartbeat.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_task_with_a_fault_fails_as_ever(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("observability.alerts.pipeline.watch", lambda: raise_in_database("42P01"))
    failures = Change("amani_celery_tasks_total", task=HEARTBEAT, outcome="failure")
    run_as_worker(app, HEARTBEAT)
    assert failures() == 1
    assert any(record.exc_info for record in caplog.records)


@pytest.mark.django_db(transaction=True)
def test_task_called_as_a_function_raises_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    call: Callable[[], None] = app.tasks[HEARTBEAT]
    monkeypatch.setattr("observability.alerts.pipeline.watch", lambda: raise_in_database("53100"))
    with pytest.raises(DatabaseError, match="secret"):
        call()
