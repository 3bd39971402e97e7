"""Plants personal data wherever Amani stores any, erases the account, and searches all that is left."""

from __future__ import annotations

import base64
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django.conf import settings
from django.contrib.sessions.models import Session
from django.core.cache import cache
from django.db import connection

from accounts.models import User
from accounts.operators import reset_second_factor
from accounts.tests.devices import CODE, App
from kyc import cases
from kyc.models import Case, Check, ProviderEvent
from kyc.tests.people import make_approver, make_reviewer, submission
from observability import sentry
from observability.telemetry.logs.formatting import AccessHandler, Formatter, access_logger
from observability.telemetry.traces.scrubbing import scrubbed
from observability.tests.fake_sentry import FakeSentry
from observability.tests.recorded import Recording, recording
from observability.tests.waiting import PATIENCE_SECONDS, wait_until

PASSWORD = "correct horse battery"
EMAIL, NAME, PHONE, NUMBER = "adaeze.okonkwo@example.com", "Adaeze Okonkwo", "+2348031234567", "B98765432"
TEXT = f"Planted words about {NAME}, {EMAIL}, {PHONE}, {NUMBER}."
REASON = {"reason_code": "other", "reason": TEXT}
PLANTED = re.compile("|".join(map(re.escape, (EMAIL, NAME, PHONE, NUMBER, "Planted words"))), re.IGNORECASE)

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def documents_in_memory(settings: Any) -> None:
    storage = {"BACKEND": "django.core.files.storage.InMemoryStorage"}
    settings.STORAGES = {**settings.STORAGES, "kyc": storage}
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    settings.EMAIL_BACKEND = "accounts.mail.backend.OutboxBackend"
    cache.clear()


@pytest.fixture
def person() -> User:
    person = User.objects.create_user(EMAIL, PASSWORD, full_name=NAME, phone_number=PHONE, country="NG")
    EmailAddress.objects.create(user=person, email=EMAIL, verified=True, primary=True)
    return person


# --- What else writes of a request ---


@pytest.fixture
def log_file(tmp_path: Path) -> Iterator[Path]:
    """The lines of all loggers from DEBUG on and the access lines, as production writes them."""
    path = tmp_path / "amani.log"
    with path.open("w") as stream:
        handlers = {
            logging.getLogger(): logging.StreamHandler(stream),
            access_logger: AccessHandler(stream),
        }
        levels = {logger: logger.level for logger in handlers}
        for logger, handler in handlers.items():
            handler.setFormatter(Formatter("json"))
            logger.addHandler(handler)
            logger.setLevel(logging.DEBUG)
        yield path
        for logger, handler in handlers.items():
            logger.removeHandler(handler)
            logger.setLevel(levels[logger])


@pytest.fixture
def sentry_server(settings: Any) -> Iterator[FakeSentry]:
    server = FakeSentry()
    settings.SENTRY_DSN, settings.SENTRY_SEND_EMAIL = server.dsn, False
    sentry.start("web")
    yield server
    sentry.stop(PATIENCE_SECONDS)
    server.close()


@pytest.fixture
def traced(settings: Any) -> Iterator[Recording]:
    """All requests and statements are traced: a new client and a new connection ask whether they are."""
    settings.TRACING_ENABLED = True
    with recording() as found:
        connection.close()
        yield found
    connection.close()


# --- Planting ---


def plant_texts(person: User, *, approve: bool) -> Case:
    """Lets everybody who can write about a case do so."""
    reviewer, approver = make_reviewer(), make_approver()
    case = cases.submit(person=person, **submission(number=NUMBER))
    cases.claim(case_id=case.pk, reviewer=reviewer)
    cases.ask_for_more(case_id=case.pk, reviewer=reviewer, **REASON)
    cases.submit(person=person, **submission(number=NUMBER))
    check = Check.objects.create(
        case=case,
        provider="smile_id",
        reference=f"r-{case.pk}",
        state="done",
        result_text=TEXT,
        last_error=TEXT,
    )
    ProviderEvent.objects.create(
        provider="smile_id",
        event_id=f"e-{case.pk}",
        body=b"encrypted",
        signature_ok=True,
        check_row=check,
        asked_again_because=TEXT,
    )
    cases.claim(case_id=case.pk, reviewer=reviewer)
    if not approve:
        return cases.reject(case_id=case.pk, reviewer=reviewer, **REASON)
    cases.approve(case_id=case.pk, reviewer=reviewer, reason=TEXT)
    cases.doubt_by_provider(case_id=case.pk, provider="manual", reason=TEXT)
    cases.uphold(case_id=case.pk, actor=approver, reason=TEXT)
    return cases.revoke(case_id=case.pk, actor=approver, **REASON)


def plant_reset(person: User) -> None:
    superuser = User.objects.create_superuser("root@example.com", PASSWORD)
    Authenticator.objects.create(user=person, type=Authenticator.Type.TOTP, data={"secret": "x"})
    reset_second_factor(user_id=person.pk, actor=superuser, reason=TEXT)


def plant_sessions(person: User) -> None:
    """Begins what can be pending: a new password, a sign-in, and a sign-up with the taken address."""
    assert App().post("auth/password/request", email=EMAIL).status == 401
    factor = Authenticator.objects.create(user=person, type=Authenticator.Type.TOTP, data={"secret": "x"})
    assert App().sign_in(EMAIL, PASSWORD).status == 401
    factor.delete()
    assert App().sign_up(EMAIL, PASSWORD).status == 401


def fail_in_a_request(person: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sends what is known of the person to a route that fails, with an error that quotes the whole row."""

    def store(**_: object) -> None:
        User.objects.filter(pk=person.pk).update(email=person.email.upper())

    app = App()
    assert app.sign_in(EMAIL, PASSWORD).status == 200
    profile = {"full_name": person.full_name, "phone_number": person.phone_number}
    with monkeypatch.context() as patched:
        patched.setattr("accounts.api.update_profile", store)
        answer = app.request("PATCH", f"/api/v1/me?email={EMAIL}&phone={PHONE}", profile)
    assert answer.status_code == 500
    assert found_in(iter([answer.content.decode()])) == []


def erase(person: User) -> None:
    app = App()
    assert app.sign_in(EMAIL, PASSWORD).status == 200
    app.post("auth/reauthenticate", password=PASSWORD)
    assert app.request("DELETE", "/api/v1/me").status_code == 204


# --- Searching ---


def dump() -> Iterator[str]:
    """Yields every row of every table as text, as `COPY` writes it, and sessions also decoded."""
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            with cursor.copy(f'COPY "{table}" TO STDOUT') as rows:
                yield from (f"{table}: {bytes(row).decode()}" for row in rows)
    yield from (f"session: {session.get_decoded()}" for session in Session.objects.all())


def in_redis() -> Iterator[str]:
    """Yields every key of every database of Redis with its value, and the arguments of waiting tasks."""
    for database in range(16):
        client = redis.Redis.from_url(settings.REDIS_URL, db=database)
        for key in client.scan_iter():
            yield f"{key!r}: {value_of(client, key)!r}"
            if client.type(key) == b"list":
                yield from (arguments_of(message) for message in client.lrange(key, 0, -1))


def value_of(client: redis.Redis, key: bytes) -> Any:
    match client.type(key):
        case b"string":
            return client.get(key)
        case b"list":
            return client.lrange(key, 0, -1)
        case b"hash":
            return client.hgetall(key)
        case b"set":
            return client.smembers(key)
        case b"zset":
            return client.zrange(key, 0, -1)
        case kind:
            raise AssertionError(f"{key!r} is a {kind!r}, which this does not read")


def arguments_of(message: bytes | str) -> str:
    """What a task is called with; Celery encodes it in its message."""
    content = json.loads(message)
    assert content["properties"]["body_encoding"] == "base64"
    return f"{content['headers']['task']}: {base64.b64decode(content['body']).decode()}"


def found_in(lines: Iterator[str]) -> list[str]:
    return [line[:300] for line in lines if PLANTED.search(line)]


@pytest.mark.parametrize("approve", [False, True], ids=["rejected", "approved-and-revoked"])
def test_nothing_that_was_planted_is_left(
    person: User,
    approve: bool,
    log_file: Path,
    sentry_server: FakeSentry,
    traced: Recording,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plant_texts(person, approve=approve)
    plant_reset(person)
    plant_sessions(person)
    fail_in_a_request(person, monkeypatch)
    assert found_in(dump())  # the search finds what is there
    assert wait_until(lambda: any("accounts.tasks." in line for line in in_redis())), "tasks wait in Redis"

    erase(person)

    assert found_in(dump()) == []
    assert found_in(in_redis()) == []
    lines = log_file.read_text().splitlines()
    events = {json.loads(line)["event"] for line in lines}
    assert {"request", "account_erased"} <= events
    assert any("Failing row contains" in line for line in lines)
    assert found_in(iter(lines)) == []
    (event,) = sentry_server.events()
    assert event["exception"]["values"][-1]["type"] == "IntegrityError"
    assert found_in(iter([body.decode() for body in sentry_server.bodies])) == []
    spans = [scrubbed(span).to_json() for span in traced.spans()]
    assert {"DELETE /api/v1/me", "UPDATE accounts_user"} <= {span.name for span in traced.spans()}
    assert found_in(iter(spans)) == []


def test_texts_of_an_approval_are_kept_as_long_as_its_documents_and_encrypted(person: User) -> None:
    case = plant_texts(person, approve=True)
    erase(person)
    assert TEXT in [event.reason for event in case.events.all()]
    assert case.documents.filter(deleted_at=None).exists()


def test_no_code_by_mail_is_in_the_database_in_clear(person: User, settings: Any, mailoutbox: Any) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    asked, signing_up = App(), App()
    asked.post("auth/password/request", email=EMAIL)
    signing_up.sign_up("new@example.com", PASSWORD)
    codes = [code for message in mailoutbox for code in CODE.findall(message.body)]
    assert len(codes) == 2
    assert [line for line in dump() if any(code in line for code in codes)] == []

    assert signing_up.post("auth/email/verify", key=codes[1].lower().replace("-", " ")).status == 200
    assert asked.post("auth/password/reset", key=codes[0], password="another long password").status == 401
    assert App().sign_in(EMAIL, "another long password").status == 200


def test_the_stored_hash_is_no_code(person: User) -> None:
    asked = App()
    asked.post("auth/password/request", email=EMAIL)
    pending = Session.objects.get(pk=asked.token).get_decoded()["account_password_reset_verification"]
    for key in ("", pending["amani_code_hash"]):
        assert asked.post("auth/password/reset", key=key, password="another long password").status == 400
