"""A real Sentry server (Bugsink), whose events a test reads back.

with Bugsink(folder, python) as server:
    project = server.new_project()
    ...  # send to project.dsn
    event = project.wait_for_event(lambda event: event["tags"]["request_id"] == "…")
"""

from __future__ import annotations

import os
import secrets
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Self

import requests

from local.children import Program
from local.environments import ROOT, Environment
from local.ports import find_free_port
from observability.tests.waiting import ANSWER_SECONDS, wait_until

ENVIRONMENT = Environment(".venv-bugsink", ROOT / "tests" / "stack" / "requirements-bugsink.txt")
USER = "operator@example.com"

# Events are stored before the client gets its answer; nothing is sent elsewhere; all files lie in the folder.
CONFIGURATION = """
from bugsink.settings.default import *
import os

SECRET_KEY = os.environ["SECRET_KEY"]
DATABASES["default"]["NAME"] = "bugsink.sqlite3"
DATABASES["snappea"]["NAME"] = "queue.sqlite3"
TIME_ZONE = "UTC"
SNAPPEA = {"TASK_ALWAYS_EAGER": True, "WAKEUP_CALLS_DIR": os.path.abspath("wakeup")}
EMAIL_BACKEND = "django.core.mail.backends.dummy.EmailBackend"
BUGSINK = {
    "BASE_URL": os.environ["BASE_URL"],
    "PHONEHOME": False,
    "SINGLE_USER": True,
    "KEEP_ENVELOPES": 100_000,
    "INGEST_STORE_BASE_DIR": os.path.abspath("ingestion"),
    "MAX_EVENTS_PER_5_MINUTES": 100_000,
    "MAX_EVENTS_PER_HOUR": 100_000,
    "MAX_EVENTS_PER_PROJECT_PER_5_MINUTES": 100_000,
    "MAX_EVENTS_PER_PROJECT_PER_HOUR": 100_000,
}
"""

# One process for what would be four commands: each takes two seconds to import Bugsink.
PREPARE = """
import os
import django
django.setup()
from django.contrib.auth import get_user_model
from django.core.management import call_command
call_command("migrate", verbosity=0)
call_command("migrate", "snappea", database="snappea", verbosity=0)
get_user_model().objects.create_superuser(os.environ["USER_NAME"], password=os.environ["USER_PASSWORD"])
call_command("create_auth_token")
"""

Event = dict[str, Any]


class Bugsink:
    """Its database and logs lie in `folder`; `python` has the package (`ENVIRONMENT.python`)."""

    def __init__(self, folder: Path, python: str) -> None:
        self.folder = folder
        self.python = python
        self.port = find_free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.password = secrets.token_urlsafe(24)
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "DJANGO_SETTINGS_MODULE": "bugsink_conf",
            "PYTHONPATH": str(folder),
            "SECRET_KEY": secrets.token_urlsafe(40),
            "BASE_URL": self.url,
            "USER_NAME": USER,
            "USER_PASSWORD": self.password,
        }
        self.session = requests.Session()
        self.session.trust_env = False  # no proxy for requests to this machine
        self.program = self.make_program()

    def make_program(self) -> Program:
        arguments = ["--workers=1", "--threads=4", "--keep-alive=0", "--no-control-socket"]
        bind = f"--bind=127.0.0.1:{self.port}"
        command = [self.python, "-m", "gunicorn", *arguments, bind, "bugsink.wsgi"]
        output = os.open(self.folder / "bugsink.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        return Program("bugsink", command, output=output, environment=self.environment, folder=self.folder)

    # --- life ---

    def start(self) -> None:
        (self.folder / "bugsink_conf.py").write_text(CONFIGURATION)
        token = self.prepare()
        self.session.headers["Authorization"] = f"Bearer {token}"
        self.program.start()
        assert wait_until(self.serves), self.log()
        self.team: str = self.post("teams", name="Amani")["id"]

    def prepare(self) -> str:
        """Makes the database and a user; returns a token for the API."""
        done = subprocess.run(
            [self.python, "-c", PREPARE],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.split()[-1]

    def serves(self) -> bool:
        try:
            return self.session.get(f"{self.url}/health/ready", timeout=ANSWER_SECONDS).status_code == 200
        except requests.RequestException:
            return False

    def log(self) -> str:
        return (self.folder / "bugsink.log").read_text(errors="replace")[-4000:]

    def stop(self) -> None:
        self.session.close()
        self.program.stop()
        os.close(self.program.output)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # --- its API ---

    def get(self, path: str, **parameters: str) -> Any:
        answer = self.session.get(
            f"{self.url}/api/canonical/0/{path}/", params=parameters, timeout=ANSWER_SECONDS
        )
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, **values: str) -> Any:
        answer = self.session.post(f"{self.url}/api/canonical/0/{path}/", json=values, timeout=ANSWER_SECONDS)
        assert answer.status_code == 201, answer.text
        return answer.json()

    def new_project(self) -> Project:
        """Each test takes its own: nothing is ever deleted."""
        made = self.post("projects", name=f"test-{secrets.token_hex(4)}", team=self.team)
        return Project(self, str(made["id"]))


class Project:
    def __init__(self, server: Bugsink, number: str) -> None:
        self.server = server
        self.number = number
        self.dsn: str = server.get(f"projects/{number}")["dsn"]

    def issues(self) -> list[dict[str, Any]]:
        """Oldest first."""
        found: list[dict[str, Any]] = self.server.get("issues", project=self.number)["results"]
        return found

    def events(self) -> list[Event]:
        """What clients sent, as Sentry's event JSON, oldest first within each issue."""
        listed = [
            event
            for issue in self.issues()
            for event in self.server.get("events", issue=issue["id"], order="asc")["results"]
        ]
        return [self.server.get(f"events/{event['id']}")["data"] for event in listed]

    def wait_for_event(
        self, condition: Callable[[Event], object] = lambda _: True, seconds: float = 10.0
    ) -> Event:
        """The first event for which `condition` holds."""
        found: list[Event] = []

        def look() -> bool:
            found[:] = [event for event in self.events() if condition(event)]
            return bool(found)

        assert wait_until(look, seconds), f"{len(self.events())} events came, none as wanted."
        return found[0]

    def envelopes(self) -> list[bytes]:
        """All that was sent, as bytes: events, and what Bugsink has no page for (transactions, profiles)."""
        database = f"file:{self.server.folder / 'bugsink.sqlite3'}?mode=ro"
        with closing(sqlite3.connect(database, uri=True, timeout=ANSWER_SECONDS)) as connection:
            rows = connection.execute(
                "SELECT data FROM ingest_envelope WHERE project_pk = ? ORDER BY id", (self.number,)
            ).fetchall()
        return [bytes(row[0]) for row in rows]
