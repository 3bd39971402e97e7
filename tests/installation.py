"""A whole Amani of a test's own: web, worker and beat as real processes that the test may kill.

They connect with the role of the application; `migrate` and what no application may do, with the owner's.
PostgreSQL and Valkey are private too (local/services.py). Everything listens on free ports of 127.0.0.1.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import requests

from local import migrated
from local.children import Program
from local.ports import find_free_port
from local.processes import signal_group
from local.services import APPLICATION, OWNER, PrivatePostgres, PrivateValkey
from observability.tests.waiting import ANSWER_SECONDS, COMMAND_SECONDS, wait_until

ROOT = Path(__file__).resolve().parent.parent
TOKEN = "token-of-the-test-installation-0123456789"
NOBODY = "http://127.0.0.1:9"  # the discard port: nobody listens there
AS_ROOT = "ignore:You're running the worker with superuser privileges"
TABLES = ("episode", "episodeevent", "delivery", "attempt", "receipt")


class Installation:
    """`variables` are settings on top of the defaults below; they count from the next start of a process."""

    def __init__(
        self, folder: Path, postgres: PrivatePostgres, valkey: PrivateValkey, database: str, **variables: str
    ) -> None:
        self.folder = folder
        self.postgres = postgres
        self.valkey = valkey
        self.database_url = postgres.address(OWNER, database)
        self.application_url = postgres.address(APPLICATION, database)
        self.port = find_free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.connection: psycopg.Connection[tuple[Any, ...]] | None = None
        self.environment = self.defaults() | variables
        celery = [sys.executable, "-W", AS_ROOT, "-m", "celery", "--quiet", "-A", "amani"]
        self.web = self.program("web", [sys.executable, "-m", "gunicorn", "-c", "deploy/gunicorn.conf.py"])
        self.worker = self.program("worker", [*celery, "worker"])
        self.beat = self.program("beat", [*celery, "beat", "--schedule", str(folder / "beat-schedule")])

    def defaults(self) -> dict[str, str]:
        """As in production, but without pacing, so that a test need not wait for it, and with time for a busy
        machine's vendors to answer."""
        passed_on = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        return passed_on | {
            "AMANI_IGNORE_ENV_FILES": "1",
            "DJANGO_SETTINGS_MODULE": "tests.installation_settings",
            "ENVIRONMENT": "test",
            "SECRET_KEY": "x" * 60,
            "ENCRYPTION_KEYS": "eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHg=",
            "KYC_SEARCH_KEY": "x" * 43,
            "KYC_STORAGE_ROOT": str(self.folder / "kyc"),
            "STAFF_MFA_REQUIRED": "false",
            "ALLOWED_HOSTS": "127.0.0.1,localhost",
            "PUBLIC_URL": self.url,
            "PORT": str(self.port),
            "DATABASE_URL": self.application_url,
            "DATABASE_APPLICATION_ROLE": APPLICATION,
            "REDIS_URL": self.valkey.url,
            "PROMETHEUS_MULTIPROC_DIR": str(self.folder / "metrics"),
            "ALERT_WEBHOOK_TOKEN": TOKEN,
            "METRICS_ALLOWED_NETWORKS": "127.0.0.0/8,::1/128",
            "PROMETHEUS_URL": NOBODY,  # not one that runs on this machine by chance
            "ALERTMANAGER_URL": NOBODY,
            # Where no Watchdog ever comes, its absence is no alert, however long a busy machine takes.
            "WATCHDOG_FIRST_TIMEOUT_SECONDS": "0",
            "ALERT_DIGEST_THRESHOLD": "100000",
            "SLACK_MESSAGES_PER_SECOND": "0",
            "PAGERDUTY_EVENTS_PER_MINUTE": "0",
            "API_REQUESTS_PER_MINUTE_PER_ADDRESS": "0",
            "API_UPLOADS_PER_MINUTE_PER_USER": "0",
            "PAGERDUTY_API_KEY": "R0123456789ABCDEFGHIJKLMNOPQRSTU",
            "NOTIFIER_READ_TIMEOUT": "600",
        }

    def program(self, name: str, command: list[str]) -> Program:
        output = os.open(self.folder / f"{name}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        return Program(name, command, output=output, environment=self.environment, folder=ROOT)

    # --- life and death ---

    def migrate(self) -> None:
        if migrated.restore(self.database_url):
            return
        done = run_migrate(self)
        assert done.returncode == 0, done.stderr

    def start(self) -> None:
        """Starts whatever does not run; returns when a request is served and a heartbeat has gone round."""
        self.postgres.start()
        self.valkey.start()
        for program in (self.web, self.worker, self.beat):
            if not program.is_running:
                program.start()
        resume(self.beat)  # it may rest
        self.await_ready()

    def rest(self) -> None:
        """Until the next start: beat, and what it has the worker do each second, takes a tenth of a core."""
        if self.beat.is_running:
            pause(self.beat)

    def await_ready(self) -> None:
        assert wait_until(self.serves), self.log("web")
        self.await_heartbeat()

    def await_heartbeat(self) -> None:
        """Until beat, broker, worker and database have worked together once more."""
        before = self.heartbeats()
        assert wait_until(lambda: self.heartbeats() != before), self.log("worker")

    def heartbeats(self) -> Any:
        return self.rows("SELECT last_seen_at FROM observability_heartbeat WHERE name = 'worker'")

    def serves(self) -> bool:
        try:
            return requests.get(f"{self.url}/api/v1/readiness", timeout=ANSWER_SECONDS).status_code == 200
        except requests.RequestException:
            return False

    def restart(self, program: Program) -> None:
        """Start `program` again after a kill."""
        program.start()
        self.await_ready()

    def stop(self) -> None:
        for program in (self.beat, self.worker, self.web):
            if program.process is not None:
                signal_group(program.process.pid, signal.SIGCONT)
            program.stop()
            os.close(program.output)
        self.disconnect()

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")[-4000:]

    # --- what it holds ---

    def rows(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """On a connection that is kept: tests ask often, and to connect costs more than most statements.

        As the application, because the owner does not see what the application's sessions are doing.
        """
        try:
            return self.connect().execute(query.encode(), parameters).fetchall()
        except psycopg.OperationalError:  # PostgreSQL was stopped, or ended this session
            return self.connect(anew=True).execute(query.encode(), parameters).fetchall()

    def connect(self, *, anew: bool = False) -> psycopg.Connection[tuple[Any, ...]]:
        if self.connection is None or self.connection.closed or anew:
            self.disconnect()
            self.connection = psycopg.connect(self.application_url, autocommit=True, connect_timeout=60)
        return self.connection

    def disconnect(self) -> None:
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def count(self, table: str, condition: str = "true") -> int:
        query = f"SELECT count(*) FROM observability_{table} WHERE {condition}"  # noqa: S608
        found: int = self.rows(query)[0][0]
        return found

    def forget(self) -> None:
        """No alert, no delivery, no receipt, nothing in the broker, and channels that may send at once."""
        assert wait_until(self.truncate), self.states()

    def truncate(self) -> bool:
        """False when a sender was in the way: the two had taken each other's tables."""
        names = ", ".join(f"observability_{table}" for table in TABLES)
        free_channels = (
            "UPDATE observability_channel SET next_slot_at = now(), flagged_at = NULL, flag_reason = ''"
        )
        try:
            with psycopg.connect(self.database_url) as connection:
                connection.execute(f"TRUNCATE {names} CASCADE".encode())
                connection.execute(free_channels)
        except psycopg.errors.DeadlockDetected:
            return False
        return True

    def is_settled(self) -> bool:
        """Whether every planned delivery has come to its end."""
        return self.count("delivery", "state IN ('pending', 'sending', 'digested')") == 0

    def await_settled(self) -> None:
        assert wait_until(self.is_settled), self.states()

    def await_settled_supervised(self) -> None:
        """Starts a worker or beat that ended meanwhile, as a supervisor does (kombu's Redis transport
        has several ways to fail for good when its server goes away)."""

        def look() -> bool:
            for program in (self.worker, self.beat):
                if not program.is_running:
                    program.start()
            return self.is_settled()

        assert wait_until(look), self.states()

    def states(self) -> list[tuple[Any, ...]]:
        return self.rows(
            "SELECT channel, kind, state, reason, count(*) FROM observability_delivery GROUP BY 1, 2, 3, 4"
        )

    def states_of(self, alertname: str) -> dict[tuple[str, str], list[str]]:
        """State of every delivery about an alert, by channel and kind."""
        rows = self.rows(
            "SELECT channel, kind, array_agg(state::text ORDER BY delivery.id)"
            " FROM observability_delivery AS delivery JOIN observability_episode AS episode"
            " ON episode.id = episode_id WHERE alertname = %s GROUP BY 1, 2",
            alertname,
        )
        return {(channel, kind): states for channel, kind, states in rows}

    # --- what is sent to it ---

    def post(self, body: bytes, *, token: str = TOKEN, session: requests.Session | None = None) -> int:
        """The status of the webhook's answer. Raises requests.RequestException when none came."""
        return (
            (session or requests)
            .post(
                f"{self.url}/api/v1/alerts/webhook",
                data=body,
                headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
                timeout=ANSWER_SECONDS,
                allow_redirects=False,
            )
            .status_code
        )

    def post_until_taken(self, body: bytes) -> None:
        """As Alertmanager does: again after 5xx and after a broken connection."""
        assert wait_until(lambda: self.is_taken(body)), self.log("web")

    def is_taken(self, body: bytes) -> bool:
        try:
            status = self.post(body)
        except requests.RequestException:
            return False
        assert status == 200 or status >= 500, status
        return status == 200


def children_of(pid: int) -> list[int]:
    listing = subprocess.run(["ps", "-axo", "pid=,ppid=,stat="], capture_output=True, text=True, check=True)
    rows = [line.split() for line in listing.stdout.splitlines()]
    return [int(child) for child, parent, state in rows if int(parent) == pid and not state.startswith("Z")]


def pid_of(program: Program) -> int:
    assert program.process is not None, f"{program.name} was not started"
    return program.process.pid


def kill(program: Program) -> None:
    """kill -9 of the program and all it started, as the end of its container or machine would be."""
    signal_group(pid_of(program), signal.SIGKILL)
    assert program.process is not None
    program.process.wait()


def kill_children(program: Program) -> None:
    """kill -9 of what does its work; the program itself lives on and starts others."""
    for child in children_of(pid_of(program)):
        os.kill(child, signal.SIGKILL)


def pause(program: Program) -> None:
    signal_group(pid_of(program), signal.SIGSTOP)


def resume(program: Program) -> None:
    signal_group(pid_of(program), signal.SIGCONT)


def run_command(
    installation: Installation, *arguments: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    """`manage.py` with the settings of the installation, and `variables` on top."""
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=installation.environment | variables,
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
        check=False,
    )


def run_migrate(installation: Installation) -> subprocess.CompletedProcess[str]:
    return run_command(installation, "migrate", DATABASE_URL=installation.database_url)


def all_at_once(calls: Iterable[Callable[[], Any]]) -> list[Any]:
    """The results of `calls`, each run in a thread of its own."""
    waiting = list(calls)
    with ThreadPoolExecutor(len(waiting)) as pool:
        return [future.result() for future in [pool.submit(call) for call in waiting]]
