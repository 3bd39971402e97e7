"""The database refuses for a while: read-only, a standby, full, without a connection left, shutting down.

Requests that have to write are answered 503 meanwhile. Afterwards web, worker and beat work again without a
restart and without an end of their sessions, and no alert is lost.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import psycopg
import pytest
import requests

from observability.tests.vendors import Vendor
from observability.tests.waiting import ANSWER_SECONDS, wait_until
from tests.faults.applicants import Person, make_people
from tests.faults.notifications import duplicates, firing, lost, notifications, triggers
from tests.installation import TOKEN, Installation, all_at_once, run_command

pytestmark = [pytest.mark.faults, pytest.mark.processes]

WEB_THREADS = 8  # two processes of four
TASKS = 8  # ended by an outage: more than the worker has children
IN_FLIGHT = 4  # at most: two senders for each of two channels
PASSWORD = "correct horse battery staple"
OPERATOR = "operator@example.com"
MAKE_OPERATOR = f"""
from amani.tests.people import make_person
make_person("{OPERATOR}", is_staff=True, is_superuser=True)
"""
OUTAGES_OF_TASKS = re.compile(r'^amani_celery_tasks_total\{.*outcome="outage".*\} (\S+)$', re.MULTILINE)
REASON = 'amani_database_outages_total{reason="%s"} '

REFUSE_EVERYWHERE = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$;
DO $$ DECLARE name regclass; BEGIN
    FOR name IN SELECT oid FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace LOOP
        EXECUTE format('CREATE TRIGGER aaa BEFORE INSERT OR UPDATE ON %s EXECUTE FUNCTION refuse()', name);
    END LOOP;
END $$
"""


# --- How it refuses ---


def as_superuser(installation: Installation, *statements: str) -> None:
    address = installation.postgres.address("postgres", "installation")
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("SET default_transaction_read_only = off")
        for statement in statements:
            connection.execute(statement.encode())


def cut_sessions(installation: Installation) -> None:
    as_superuser(
        installation,
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        " WHERE datname = 'installation' AND pid <> pg_backend_pid()",
    )


@contextmanager
def read_only(installation: Installation) -> Iterator[None]:
    as_superuser(installation, "ALTER DATABASE installation SET default_transaction_read_only = on")
    cut_sessions(installation)
    try:
        yield
    finally:
        as_superuser(installation, "ALTER DATABASE installation RESET default_transaction_read_only")


@contextmanager
def standby(installation: Installation) -> Iterator[None]:
    """A real one, that is promoted at the end: what a failover looks like from an address that stays."""
    installation.postgres.stop()
    (installation.postgres.data / "standby.signal").touch()
    installation.postgres.start()
    try:
        yield
    finally:
        as_superuser(installation, "SELECT pg_promote()")


@contextmanager
def no_connection_left(installation: Installation) -> Iterator[None]:
    as_superuser(installation, "ALTER DATABASE installation CONNECTION LIMIT 0")
    cut_sessions(installation)
    try:
        yield
    finally:
        as_superuser(installation, "ALTER DATABASE installation CONNECTION LIMIT -1")


@contextmanager
def disk_full(installation: Installation) -> Iterator[None]:
    as_superuser(installation, REFUSE_EVERYWHERE)
    try:
        yield
    finally:
        as_superuser(installation, "DROP FUNCTION refuse CASCADE")


# --- Clients that write ---


class Clients:
    """Alertmanager, an app, a browser and an operator's browser."""

    def __init__(self, installation: Installation, person: Person) -> None:
        self.url = installation.url
        self.person = person
        self.console = requests.Session()
        self.console.get(f"{self.url}/accounts/login/", timeout=ANSWER_SECONDS)
        assert self.sign_in_to_console(self.console).status_code == 302
        assert installation.post(firing([900], severity="info")) == 200
        self.episode = installation.rows("SELECT id FROM observability_episode")[0][0]

    def webhook(self, number: int) -> requests.Response:
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
        return self.post(requests, "/api/v1/alerts/webhook", data=firing([number]), headers=headers)

    def change_profile(self, name: str) -> requests.Response:
        headers = {"X-Session-Token": self.person.token}
        address = f"{self.url}/api/v1/me"
        return requests.patch(address, json={"full_name": name}, headers=headers, timeout=ANSWER_SECONDS)

    def profile(self) -> requests.Response:
        return requests.get(
            f"{self.url}/api/v1/me", headers={"X-Session-Token": self.person.token}, timeout=ANSWER_SECONDS
        )

    def sign_in_by_app(self) -> requests.Response:
        return self.post(
            requests, "/_allauth/app/v1/auth/login", json={"email": OPERATOR, "password": PASSWORD}
        )

    def sign_in_to_console(self, session: requests.Session | None = None) -> requests.Response:
        if session is None:
            session = requests.Session()
            session.get(f"{self.url}/accounts/login/", timeout=ANSWER_SECONDS)
        fields = {"login": OPERATOR, "password": PASSWORD}
        return self.post(session, "/accounts/login/", data=fields, headers=self.csrf(session))

    def note(self) -> requests.Response:
        address = f"/admin/observability/episode/{self.episode}/note/"
        return self.post(self.console, address, data={"reason": "seen"}, headers=self.csrf(self.console))

    def csrf(self, session: requests.Session) -> dict[str, str]:
        return {"X-CSRFToken": session.cookies["csrftoken"]}

    def post(self, session: Any, path: str, **options: Any) -> requests.Response:
        answer: requests.Response = session.post(
            self.url + path, timeout=ANSWER_SECONDS, allow_redirects=False, **options
        )
        return answer


def is_outage(answer: requests.Response) -> bool:
    return answer.status_code == 503 and answer.headers.get("Retry-After") == "5"


def outages_of_tasks(installation: Installation) -> float:
    text = requests.get(f"{installation.url}/metrics", timeout=ANSWER_SECONDS).text
    return sum(float(value) for value in OUTAGES_OF_TASKS.findall(text))


def health(installation: Installation) -> tuple[int, str]:
    answer = requests.get(f"{installation.url}/api/v1/health", timeout=ANSWER_SECONDS)
    return answer.status_code, answer.json()["checks"]["database"]["detail"]


@pytest.fixture(scope="module")
def person(running_installation: Installation) -> Person:
    running_installation.start()
    people, _ = make_people(running_installation, 1)
    made = run_command(running_installation, "shell", "-v", "0", "-c", MAKE_OPERATOR)
    assert made.returncode == 0, made.stderr
    return next(people)


@pytest.fixture
def clients(installation: Installation, person: Person) -> Clients:
    return Clients(installation, person)


Refusal = Callable[[Installation], Any]
REFUSES_WRITES = "refuses writes: it is read-only or a standby"


@pytest.mark.parametrize(
    ("refusal", "reason", "seen_by_health"),
    [
        (read_only, "read_only", (503, REFUSES_WRITES)),
        (standby, "read_only", (503, REFUSES_WRITES)),
        (no_connection_left, "too_many_connections", (503, "has no connection left")),
        (disk_full, "disk_full", (200, "answered")),
    ],
)
def test_all_that_writes_answers_503_and_works_again_by_itself(
    refusal: Refusal,
    reason: str,
    seen_by_health: tuple[int, str],
    installation: Installation,
    clients: Clients,
    slack: Vendor,
    pagerduty: Vendor,
) -> None:
    log = installation.folder / "worker.log"
    logged_before = log.stat().st_size
    before = outages_of_tasks(installation)
    with refusal(installation):
        # As many at once as web has threads: each of them keeps the connection that it opens.
        refused = all_at_once(partial(clients.webhook, number) for number in range(1, WEB_THREADS + 1))
        refused += all_at_once(clients.profile for _ in range(WEB_THREADS))
        writers = [clients.change_profile(reason), clients.note(), clients.webhook(9)]
        writers += (
            [clients.sign_in_by_app(), clients.sign_in_to_console()]
            if reason != "too_many_connections"
            else []
        )
        seen = health(installation)
        assert wait_until(lambda: outages_of_tasks(installation) >= before + TASKS)
        counted = requests.get(f"{installation.url}/metrics", timeout=ANSWER_SECONDS).text
    assert [is_outage(answer) for answer in refused[:WEB_THREADS]] == [True] * WEB_THREADS
    assert {answer.status_code for answer in refused[WEB_THREADS:]} <= {200, 503}
    assert [is_outage(answer) for answer in writers] == [True] * len(writers), [
        (answer.url, answer.status_code) for answer in writers
    ]
    assert seen == seen_by_health
    assert REASON % reason in counted
    lines = log.read_text(errors="replace")[logged_before:]
    assert "task_ended_by_outage" in lines
    assert "Traceback" not in lines
    assert "raised unexpected" not in lines

    installation.await_ready()
    answers = all_at_once(partial(clients.webhook, number) for number in range(1, 2 * WEB_THREADS + 1))
    assert [answer.status_code for answer in answers] == [200] * (2 * WEB_THREADS)
    assert clients.change_profile("Ada").status_code == 200
    assert clients.note().status_code == 303
    if reason != "too_many_connections":
        assert clients.sign_in_by_app().status_code == 200
        assert clients.sign_in_to_console().status_code == 302

    installation.await_settled()
    expected = triggers(range(1, 2 * WEB_THREADS + 1))
    assert lost(slack, expected) == lost(pagerduty, expected) == set()


def test_messages_on_their_way_when_writes_are_refused_are_sent_again_and_none_is_lost(
    installation: Installation, slack: Vendor, pagerduty: Vendor
) -> None:
    numbers = range(1, 9)
    for vendor in (slack, pagerduty):
        vendor.gate.clear()
    assert installation.post(firing(numbers)) == 200
    assert wait_until(lambda: bool(notifications(slack)) and bool(notifications(pagerduty)))
    with read_only(installation):
        for vendor in (slack, pagerduty):
            vendor.gate.set()  # the vendor has it, and nobody can write that down
        before = outages_of_tasks(installation)
        assert wait_until(lambda: outages_of_tasks(installation) >= before + TASKS)
        assert installation.count("delivery", "state = 'delivered'") == 0
    installation.await_settled()
    assert lost(slack, triggers(numbers)) == lost(pagerduty, triggers(numbers)) == set()
    # Sessions are cut one after the other: who took a message over meanwhile may be cut in turn.
    assert duplicates(slack) + duplicates(pagerduty) <= 2 * IN_FLIGHT


def test_a_smart_shutdown_and_its_end_are_never_a_500(
    installation: Installation, clients: Clients, slack: Vendor, pagerduty: Vendor
) -> None:
    with psycopg.connect(installation.postgres.superuser_url):  # a smart shutdown waits for this session
        os.kill(installation.postgres.pid, signal.SIGTERM)
        assert wait_until(lambda: health(installation) == (503, "is shutting down or starting"))
        during = [clients.webhook(number) for number in range(1, 5)]
        os.kill(installation.postgres.pid, signal.SIGINT)  # and a fast one does not
        assert wait_until(lambda: not installation.postgres.is_running)
    after = [clients.webhook(5), clients.change_profile("Ada"), clients.sign_in_by_app()]
    assert all(answer.status_code == 200 or is_outage(answer) for answer in during)
    assert [is_outage(answer) for answer in after] == [True] * 3
    assert health(installation)[0] == 503

    installation.postgres.start()
    installation.await_ready()
    for number in range(1, 6):
        assert clients.webhook(number).status_code == 200
    installation.await_settled()
    assert lost(slack, triggers(range(1, 6))) == lost(pagerduty, triggers(range(1, 6))) == set()


def test_a_command_ends_with_one_line_that_says_why(installation: Installation) -> None:
    with read_only(installation):
        ended = run_command(installation, "prune_alert_history", "--older-than", "180d")
        created = run_command(
            installation,
            "createsuperuser",
            "--noinput",
            "--email",
            "new@example.com",
            DJANGO_SUPERUSER_PASSWORD=PASSWORD,
        )
    assert "Traceback" not in ended.stderr + created.stderr
    assert created.returncode == 1
    assert created.stderr.splitlines()[-2:] == [
        f"The database {REFUSES_WRITES}: cannot execute INSERT in a read-only transaction",
        "Run the command again when the outage is over.",
    ]
