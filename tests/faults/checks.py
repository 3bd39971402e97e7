"""What an installation asks the stand-in of Smile ID, what that answers, and what became of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime

import requests

from kyc.providers.claim import LEASE
from kyc.providers.tests.smile_stand_in import Fault, Job, SmileStandIn
from observability.tests.waiting import ANSWER_SECONDS, wait_until
from tests.faults.applicants import NAME, Person
from tests.installation import Installation


def jobs_by_number(smile: SmileStandIn) -> dict[str, list[tuple[str, Job]]]:
    """What Smile ID has taken in, by the number it was to look up."""
    found: dict[str, list[tuple[str, Job]]] = {}
    for reference, job in smile.jobs.items():
        if job.uploads:
            found.setdefault(job.info["id_info"]["id_number"], []).append((reference, job))
    return found


def uploads_by_number(smile: SmileStandIn) -> dict[str, int]:
    return {number: sum(job.uploads for _, job in jobs) for number, jobs in jobs_by_number(smile).items()}


def time_passes(installation: Installation) -> None:
    """Until what failed is tried again; nobody's lease ends."""
    installation.rows(
        "UPDATE kyc_check SET next_attempt_at = now()"
        " WHERE state = 'pending' AND next_attempt_at > now() RETURNING 1"
    )


def leases_run_out(installation: Installation, died_at: datetime) -> None:
    """Two minutes pass for those who died; the leases of the living go on."""
    installation.rows(
        "UPDATE kyc_check SET lease_until = now() WHERE lease_until <= %s RETURNING 1", died_at + LEASE
    )


def checks(installation: Installation, people: list[Person]) -> dict[int, tuple[str, str]]:
    """State of the check and of its case, by person."""
    rows = installation.rows(
        "SELECT person_id, kyc_check.state, kyc_case.state FROM kyc_check"
        " JOIN kyc_case ON kyc_case.id = case_id WHERE person_id = ANY(%s)",
        [person.pk for person in people],
    )
    return {person_id: (check, case) for person_id, check, case in rows}


def await_checks(installation: Installation, people: list[Person], expected: str) -> None:
    """Starts a worker or beat that ended meanwhile, as a supervisor does."""

    def look() -> bool:
        for program in (installation.worker, installation.beat):
            if not program.is_running:
                program.start()
        time_passes(installation)
        return [check for check, _ in checks(installation, people).values()] == [expected] * len(people)

    assert wait_until(look), checks(installation, people)


def hold(smile: SmileStandIn, operation: str, *, after: bool) -> Callable[[], bool]:
    """The next request of that kind is held; says whether it has come. `after`: the work was done."""
    before = smile.requests.count(operation)
    smile.faults[operation].append(Fault(hang=True, after=after))
    return lambda: smile.requests.count(operation) > before


def call_back(installation: Installation, smile: SmileStandIn, reference: str) -> int:
    address = f"{installation.url}/api/v1/kyc/webhooks/smile_id"
    return requests.post(
        address, data=json.dumps(smile.callback(reference)), timeout=ANSWER_SECONDS
    ).status_code


def decide(smile: SmileStandIn, person: Person, code: str) -> str:
    """The provider has its result; the reference of the job."""
    ((reference, _),) = jobs_by_number(smile)[person.nin]
    smile.decides(code, success=code == "0810", reference=reference, IDNumber=person.nin, FullName=NAME)
    return reference


def decisions_of(installation: Installation, people: list[Person]) -> dict[int, int]:
    rows = installation.rows(
        "SELECT person_id, count(*) FROM kyc_caseevent JOIN kyc_case ON kyc_case.id = case_id"
        " WHERE event IN ('approve', 'reject') AND person_id = ANY(%s) GROUP BY 1",
        [person.pk for person in people],
    )
    return dict(rows)
