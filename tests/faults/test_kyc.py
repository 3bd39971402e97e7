"""What KYC needs is killed while people submit and a provider checks: nothing is lost, doubled or halved."""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
import redis
import requests
from celery import Celery

from kyc.providers.tests.smile_stand_in import SmileStandIn
from local.services import PrivateValkey
from observability.tests.waiting import ANSWER_SECONDS, PATIENCE_SECONDS, wait_until
from tests.faults.applicants import (
    SIDES,
    Answer,
    Found,
    Person,
    call,
    make_people,
    some,
    status_of,
    submit,
)
from tests.faults.checks import (
    await_checks,
    call_back,
    checks,
    decide,
    decisions_of,
    hold,
    leases_run_out,
    uploads_by_number,
)
from tests.faults.test_redis import hang_redis, kill_redis
from tests.installation import Installation, kill, kill_children

pytestmark = [pytest.mark.faults, pytest.mark.processes]

LICENCE = "drivers_licence"
IN_QUEUE = [("submitted", list(SIDES[LICENCE]), 1, 1)]
SENDERS = 4
FILES_IN_FLIGHT = SENDERS * len(SIDES[LICENCE])


@pytest.fixture(scope="module")
def people(running_installation: Installation) -> tuple[Iterator[Person], Person]:
    running_installation.start()
    return make_people(running_installation, 84)


@pytest.fixture
def applicants(people: tuple[Iterator[Person], Person]) -> Iterator[Person]:
    return people[0]


@pytest.fixture
def reviewer(people: tuple[Iterator[Person], Person]) -> Person:
    return people[1]


# --- The worker dies while it asks the provider ---


def test_a_worker_that_dies_while_it_asks_makes_no_second_job_and_no_second_decision(
    installation: Installation, smile: SmileStandIn, applicants: Iterator[Person]
) -> None:
    everybody = some(applicants, 8)
    waiting = iter(everybody)

    def held(operation: str, *, after: bool) -> None:
        is_held = hold(smile, operation, after=after)
        assert submit(installation, next(waiting), "nin").status == 201
        assert wait_until(is_held), smile.requests

    # Two in flight: their jobs are announced and taken, and the answers are lost.
    held("upload", after=True)
    held("put", after=True)
    kill(installation.worker)
    died_at = datetime.now(UTC)
    installation.restart(installation.worker)
    leases_run_out(installation, died_at)
    # Two in flight: neither question comes through.
    held("upload", after=False)
    held("put", after=False)
    kill_children(installation.worker)
    leases_run_out(installation, datetime.now(UTC))
    for person in waiting:
        assert submit(installation, person, "nin").status == 201
    await_checks(installation, everybody, "sent")
    assert uploads_by_number(smile) == {person.nin: 1 for person in everybody}

    # While it asks for a result.
    is_held = hold(smile, "job_status", after=True)
    assert call_back(installation, smile, decide(smile, everybody[0], "0810")) == 200
    assert wait_until(is_held), smile.requests
    kill_children(installation.worker)
    leases_run_out(installation, datetime.now(UTC))

    codes = ["0810", "0810", "1022", "1012"] * 2
    for person, code in zip(everybody, codes, strict=True):
        assert call_back(installation, smile, decide(smile, person, code)) == 200
        assert call_back(installation, smile, decide(smile, person, code)) == 200
    await_checks(installation, everybody, "done")
    outcome = {"0810": "approved", "1022": "rejected", "1012": "submitted"}
    assert checks(installation, everybody) == {
        person.pk: ("done", outcome[code]) for person, code in zip(everybody, codes, strict=True)
    }
    assert uploads_by_number(smile) == {person.nin: 1 for person in everybody}
    assert decisions_of(installation, everybody) == {
        person.pk: 1 for person, code in zip(everybody, codes, strict=True) if code != "1012"
    }


# --- PostgreSQL or the web die while people submit ---


class Storm:
    """Everybody submits a licence with three images, four at once; the last third after `go_on`."""

    def __init__(self, installation: Installation, people: list[Person]) -> None:
        self.installation = installation
        self.people = people
        self.answers: list[tuple[Person, Answer]] = []
        self.go_on = threading.Event()

    def send(self, people: list[Person]) -> None:
        for place, person in enumerate(people):
            if place == len(people) * 2 // 3:
                assert self.go_on.wait(PATIENCE_SECONDS)
            self.answers.append((person, submit(self.installation, person, LICENCE)))

    @contextmanager
    def rages(self) -> Iterator[None]:
        with ThreadPoolExecutor(SENDERS) as pool:
            senders = [pool.submit(self.send, self.people[first::SENDERS]) for first in range(SENDERS)]
            try:
                yield
            finally:
                self.go_on.set()
            for sender in senders:
                sender.result(timeout=PATIENCE_SECONDS)

    def answered(self, status: int) -> list[Person]:
        return [person for person, answer in self.answers if answer.status == status]

    @property
    def statuses(self) -> Counter[int]:
        return Counter(answer.status for _, answer in self.answers)


@contextmanager
def cases_held(installation: Installation) -> Iterator[None]:
    """Nobody can store a case meanwhile, so a submission waits in the middle of its transaction."""
    connection = psycopg.connect(installation.database_url)
    try:
        connection.execute("LOCK TABLE kyc_case IN EXCLUSIVE MODE")
        yield
    finally:
        connection.close()


OPEN_TRANSACTIONS = (
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL"
    " AND backend_type = 'client backend'"
)


def expect_whole(installation: Installation, storm: Storm, found: Found) -> None:
    """What was answered 201 is there with all it needs; what was not is there wholly or not at all."""
    # PostgreSQL may still finish the statement of a process that is dead by now.
    assert wait_until(lambda: installation.rows(OPEN_TRANSACTIONS) == [(0,)])
    there = {person: found.cases_of(person) for person in storm.people}
    assert [cases for cases in there.values() if cases not in ([], IN_QUEUE)] == []
    assert [person for person in storm.answered(201) if there[person] != IN_QUEUE] == []
    assert found.rows_without_file() == set()

    refused = [person for person, answer in storm.answers if answer.status != 201]
    for person in refused:
        again = submit(installation, person, LICENCE)
        assert again.status == (409 if there[person] else 201), again
    assert [person for person in storm.people if found.cases_of(person) != IN_QUEUE] == []


def expect_sweep(installation: Installation, found: Found) -> int:
    """How many files without a row there were: the sweep deletes these, and no others."""
    orphans, kept = found.orphans(), found.files() & set(found.rows())
    found.make_old()
    with Celery(broker=installation.valkey.url) as app:
        app.send_task("kyc.tasks.sweep_document_files")
    assert wait_until(lambda: found.orphans() == set()), found.orphans()
    assert found.files() == kept
    assert found.rows_without_file() == set()
    return len(orphans)


@contextmanager
def all_between_file_and_row(installation: Installation, storm: Storm, found: Found) -> Iterator[None]:
    """Every sender has stored its files, and waits with the rows."""
    assert wait_until(lambda: len(storm.answered(201)) >= SENDERS), storm.statuses
    with cases_held(installation):
        assert wait_until(lambda: len(found.orphans()) == FILES_IN_FLIGHT), found.orphans()
        yield


def test_postgres_killed_while_people_submit_leaves_nothing_half_stored(
    installation: Installation, smile: SmileStandIn, applicants: Iterator[Person]
) -> None:
    found = Found(installation)
    storm = Storm(installation, some(applicants, 32))
    with storm.rages():
        with all_between_file_and_row(installation, storm, found):
            installation.postgres.kill()
            died_at = datetime.now(UTC)
            assert wait_until(lambda: len(storm.answered(503)) >= SENDERS), storm.statuses
        installation.postgres.start()
    assert set(storm.statuses) == {201, 503}

    expect_whole(installation, storm, found)
    assert expect_sweep(installation, found) >= 1
    leases_run_out(installation, died_at)  # a worker may have asked, and had nowhere to write the answer
    await_checks(installation, storm.people, "sent")
    assert sum(job.uploads for job in smile.jobs.values()) == len(storm.people)


def test_web_workers_killed_while_people_submit_leave_nothing_half_stored(
    installation: Installation, smile: SmileStandIn, applicants: Iterator[Person]
) -> None:
    found = Found(installation)
    storm = Storm(installation, some(applicants, 32))
    with storm.rages():
        with all_between_file_and_row(installation, storm, found):
            kill_children(installation.web)
            assert wait_until(lambda: len(storm.answered(0)) == SENDERS), storm.statuses
        # Again when new files come: shortly before they get their rows, or with them.
        files = len(found.files())
        assert wait_until(lambda: len(found.files()) > files), storm.statuses
        kill_children(installation.web)
    assert set(storm.statuses) == {201, 0}

    expect_whole(installation, storm, found)
    assert expect_sweep(installation, found) >= FILES_IN_FLIGHT
    await_checks(installation, storm.people, "sent")
    assert sum(job.uploads for job in smile.jobs.values()) == len(storm.people)


# --- Redis dies ---


class Console:
    """A reviewer's browser."""

    def __init__(self, installation: Installation, reviewer: Person) -> None:
        self.url = installation.url
        self.session = requests.Session()
        self.session.cookies.set("sessionid", reviewer.token)

    def get(self, path: str) -> requests.Response:
        answer = self.session.get(f"{self.url}{path}", timeout=ANSWER_SECONDS)
        assert answer.status_code == 200, answer.text[:500]
        return answer

    def press(self, case_id: int, button: str, version: int) -> None:
        headers = {"X-CSRFToken": self.session.cookies["csrftoken"]}
        answer = self.session.post(
            f"{self.url}/admin/kyc/case/{case_id}/{button}/",
            data={"version": version, "reason": ""},
            headers=headers,
            timeout=ANSWER_SECONDS,
        )
        assert answer.status_code == 200, answer.text[:500]


def metric(installation: Installation, name: str) -> float:
    exposed = requests.get(f"{installation.url}/metrics", timeout=ANSWER_SECONDS).text
    found = re.search(rf"^{name} (\S+)$", exposed, re.MULTILINE)
    assert found is not None, exposed[:500]
    return float(found[1])


def accounts(installation: Installation) -> int:
    return int(installation.rows("SELECT count(*) FROM accounts_user")[0][0])


def at_the_door(installation: Installation, route: str, email: str) -> tuple[int, Any]:
    answer = requests.post(
        f"{installation.url}/_allauth/app/v1/auth/{route}",
        json={"email": email, "password": "correct horse battery staple"},
        timeout=ANSWER_SECONDS,
    )
    return answer.status_code, answer.json()


@pytest.mark.parametrize("take_away", [kill_redis, hang_redis])
def test_without_redis_kyc_goes_on_and_checks_wait(
    take_away: Callable[[PrivateValkey], Callable[[], None]],
    installation: Installation,
    smile: SmileStandIn,
    applicants: Iterator[Person],
    reviewer: Person,
) -> None:
    found = Found(installation)
    everybody = some(applicants, 6)
    known = accounts(installation)
    registered = metric(installation, "user_registrations_total")
    newcomer = f"newcomer-{everybody[0].pk}@example.com"
    give_back = take_away(installation.valkey)
    try:
        assert [submit(installation, person, "nin").status for person in everybody] == [201] * 6
        for person in everybody:
            status = status_of(installation, person)
            assert (status.status, status.content["next"]) == (200, "wait")
            cases = call(installation, person, "GET", "/api/v1/kyc/cases").content["items"]
            assert [case["state"] for case in cases] == ["submitted"]
        review(installation, Console(installation, reviewer), everybody[0])
        for route, email in (("login", "ada@example.com"), ("signup", newcomer)):
            status_code, problem = at_the_door(installation, route, email)
            assert (status_code, problem["code"]) == (503, "unavailable")
        assert accounts(installation) == known
        assert metric(installation, "user_registrations_total") == registered
    finally:
        give_back()

    await_checks(installation, everybody[1:], "sent")
    assert [uploads_by_number(smile)[person.nin] for person in everybody[1:]] == [1] * 5
    assert checks(installation, everybody[:1]) == {everybody[0].pk: ("cancelled", "approved")}
    locks_end(installation)
    assert at_the_door(installation, "signup", newcomer)[0] == 401  # the address is not verified yet
    assert accounts(installation) == known + 1
    assert metric(installation, "user_registrations_total") == registered + 1
    assert found.rows_without_file() == found.orphans() == set()


def locks_end(installation: Installation) -> None:
    """Ten seconds pass. A Redis that hung sets django-allauth's locks late, when nobody is there to take them
    away; meanwhile sign-in answers 429."""
    with redis.Redis.from_url(installation.valkey.url) as client:
        for key in client.scan_iter("*:lock"):
            client.delete(key)


def review(installation: Installation, console: Console, person: Person) -> None:
    """Queue, page, image, decision."""
    ((case_id, version, document),) = installation.rows(
        "SELECT kyc_case.id, version, kyc_document.public_id FROM kyc_case"
        " JOIN kyc_document ON case_id = kyc_case.id WHERE person_id = %s",
        person.pk,
    )
    console.get("/admin/kyc/case/")
    console.get(f"/admin/kyc/case/{case_id}/change/")
    console.press(case_id, "claim", version)
    assert console.get(f"/kyc/documents/{document}").headers["Content-Type"] == "image/jpeg"
    console.press(case_id, "approve", version + 1)
    assert installation.rows("SELECT state FROM kyc_case WHERE id = %s", case_id) == [("approved",)]
    seen = "SELECT count(*) FROM kyc_documentaccess JOIN kyc_document ON document_id = kyc_document.id"
    assert installation.rows(f"{seen} WHERE case_id = %s", case_id) == [(1,)]
