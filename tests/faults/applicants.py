"""People who hand in documents to an installation over HTTP, and what is found of them afterwards."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from itertools import count, islice
from pathlib import Path
from typing import Any
from urllib.parse import urljoin
from uuid import uuid4

import requests
from cryptography.fernet import Fernet
from PIL import Image

from observability.tests.waiting import ANSWER_SECONDS, PATIENCE_SECONDS
from tests.installation import Installation, run_command

NAME = "Ada Obi"
SIDES = {"nin": ("selfie",), "drivers_licence": ("front", "back", "selfie")}
COLOURS = {"front": "red", "back": "green", "selfie": "blue"}
MAKE = """
import json
from amani.tests.people import make_person, token_of
from kyc.tests.people import make_reviewer
addresses = ["person-%d-of-{batch}@example.com" % number for number in range({number})]
people = [make_person(address, full_name="{name}") for address in addresses]
people.append(make_reviewer("reviewer-of-{batch}"))
print(json.dumps([[one.pk, token_of(one)] for one in people]))
"""
running = count(10_000_000)


@dataclass(frozen=True)
class Person:
    """Signed in: `token` is their session, of an app or a browser. `number` is on their document."""

    pk: int
    token: str
    number: int

    @property
    def nin(self) -> str:
        return f"100{self.number}"


@dataclass(frozen=True)
class Answer:
    """Status 0: none came."""

    status: int
    content: dict[str, Any]

    @property
    def case(self) -> str:
        return str(self.content.get("id", ""))


NONE_CAME = Answer(0, {})


def make_people(installation: Installation, number: int) -> tuple[Iterator[Person], Person]:
    """So many who may submit, and a reviewer. Other tests may have made people in the same installation."""
    script = MAKE.format(name=NAME, number=number, batch=uuid4().hex)
    made = run_command(installation, "shell", "-v", "0", "-c", script)
    assert made.returncode == 0, made.stderr
    rows = json.loads(made.stdout.splitlines()[-1])
    *people, reviewer = (Person(pk, token, next(running)) for pk, token in rows)
    return iter(people), reviewer


def some(people: Iterator[Person], number: int) -> list[Person]:
    found = list(islice(people, number))
    assert len(found) == number, "Make more people."
    return found


def picture(side: str) -> bytes:
    buffer = BytesIO()
    Image.new("RGB", (800, 600), COLOURS[side]).save(buffer, "JPEG")
    return buffer.getvalue()


PICTURES = {side: picture(side) for side in COLOURS}


def call(installation: Installation, person: Person, method: str, path: str, **content: Any) -> Answer:
    headers = {"X-Session-Token": person.token}
    address = urljoin(installation.url, path)
    try:
        response = requests.request(method, address, headers=headers, timeout=ANSWER_SECONDS, **content)
    except requests.RequestException:
        return NONE_CAME
    is_problem = response.status_code >= 400
    kind = "application/problem+json" if is_problem else "application/json"
    assert response.headers["Content-Type"].startswith(kind), response.text[:500]
    return Answer(response.status_code, response.json())


def submit(installation: Installation, person: Person, kind: str) -> Answer:
    """Sends the same again while other images are being read, as `Retry-After` asks for."""
    number = person.nin if kind == "nin" else f"ABC{person.number}"
    fields = {"document_type": kind, "country": "NG", "number": number}
    files = {side: (f"{side}.jpg", PICTURES[side], "image/jpeg") for side in SIDES[kind]}
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        answer = call(installation, person, "POST", "/api/v1/kyc/cases", data=fields, files=files)
        if answer.content.get("code") != "busy" or time.monotonic() > until:
            return answer
        time.sleep(0.1)


def status_of(installation: Installation, person: Person) -> Answer:
    return call(installation, person, "GET", "/api/v1/kyc/status")


# --- What is there afterwards ---


class Found:
    """Cases, rows and files of the installation, and what does not fit together."""

    def __init__(self, installation: Installation) -> None:
        self.installation = installation
        self.root = Path(installation.environment["KYC_STORAGE_ROOT"])
        self.cipher = Fernet(installation.environment["ENCRYPTION_KEYS"])

    def cases_of(self, person: Person) -> list[tuple[Any, ...]]:
        """State, sides, number of times it was handed in, and of checks, of each of their cases."""
        return self.installation.rows(
            "SELECT state,"
            " ARRAY(SELECT side::text FROM kyc_document WHERE case_id = kyc_case.id ORDER BY id),"
            " (SELECT count(*) FROM kyc_caseevent WHERE case_id = kyc_case.id AND event = 'submit'),"
            " (SELECT count(*) FROM kyc_check WHERE case_id = kyc_case.id)"
            " FROM kyc_case WHERE person_id = %s",
            person.pk,
        )

    def files(self) -> set[str]:
        return {str(path.relative_to(self.root)) for path in self.root.rglob("*") if path.is_file()}

    def rows(self) -> dict[str, str]:
        """The sum of what each stored document holds, by its file's name."""
        return dict(self.installation.rows("SELECT stored_as, sha256 FROM kyc_document"))

    def orphans(self) -> set[str]:
        return self.files() - set(self.rows())

    def rows_without_file(self) -> set[str]:
        return {name for name, wanted in self.rows().items() if self.sum_of(name) != wanted}

    def sum_of(self, name: str) -> str:
        path = self.root / name
        return sha256(self.cipher.decrypt(path.read_bytes())).hexdigest() if path.exists() else ""

    def make_old(self) -> None:
        """As if they had come two hours ago, long enough for the sweep."""
        for name in self.files():
            path = self.root / name
            since = path.stat().st_mtime - 2 * 3600
            os.utime(path, (since, since))
