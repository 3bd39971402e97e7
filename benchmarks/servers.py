"""What the benchmarks run: a private PostgreSQL and Valkey, Amani, the limit. All end with this process."""

import os
import secrets
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import psycopg

from benchmarks.limit.statements import SCHEMA, TABLES
from benchmarks.load import Target
from local.ports import find_free_port, is_free
from local.processes import ChildFailedError, end, spawn, wait_until
from local.services import PrivatePostgres, PrivateValkey

ROOT = Path(__file__).resolve().parent.parent
TOKEN = secrets.token_urlsafe(24)
# The same server for all three: with threads, gunicorn's threaded worker, or Amani's subclass of it.
GUNICORN = ["--workers=2", "--threads=4", "--keep-alive=75", "--timeout=120"]
START_SECONDS = 60.0


class Postgres(PrivatePostgres):
    """Durable, as in production, with a cache as on a small server."""

    def options(self) -> dict[str, str]:
        return super().options() | {"shared_buffers": "256MB", "max_wal_size": "4GB"}

    def make_database(self, name: str) -> str:
        """Its URL."""
        with psycopg.connect(self.superuser_url, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} OWNER amani")
        return self.address("amani", name)


@dataclass
class Stage:
    """What one run shares, and everything it started."""

    folder: Path
    postgres: Postgres
    valkey: PrivateValkey
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(
        self, name: str, command: list[str], environment: dict[str, str] | None
    ) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("ab") as log:
            process = spawn(command, environment=environment, folder=ROOT, output=log)
        self.processes.append(process)
        return process

    @staticmethod
    def plain_environment(**variables: str) -> dict[str, str]:
        """Ours, without Django's settings module: the limit has its settings in itself."""
        return {
            key: value for key, value in os.environ.items() if key != "DJANGO_SETTINGS_MODULE"
        } | variables

    def stop(self, process: subprocess.Popen[bytes]) -> None:
        end(process, signal.SIGTERM, 10)
        self.processes.remove(process)

    def last_words(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")[-1500:]


@contextmanager
def stage(folder: Path) -> Iterator[Stage]:
    postgres = Postgres(folder / "postgres", find_free_port())
    valkey = PrivateValkey(folder / "valkey", find_free_port())
    made = Stage(folder, postgres, valkey)
    try:
        postgres.start()
        valkey.start()
        yield made
    finally:
        for process in made.processes[::-1]:
            end(process, signal.SIGTERM, 10)
        valkey.remove()
        postgres.remove()


@dataclass(frozen=True)
class Server:
    """A running web server. `tables` are emptied between rounds."""

    name: str
    target: Target
    process: subprocess.Popen[bytes]
    database_url: str
    tables: tuple[str, ...]

    def empty(self) -> None:
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            connection.execute(f"TRUNCATE {', '.join(self.tables)} RESTART IDENTITY CASCADE")

    def count(self, table: str, condition: str = "true") -> int:
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            row = connection.execute(f"SELECT count(*) FROM {table} WHERE {condition}").fetchone()
        return int(row[0]) if row else 0

    def cpu_seconds(self) -> float:
        return tree_cpu_seconds(self.process.pid)


def tree_cpu_seconds(pid: int) -> float:
    """Processor time of a process, of those it started, and of those that have ended and were waited for."""
    root = psutil.Process(pid)
    total = 0.0
    for process in [root, *root.children(recursive=True)]:
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


def answers(port: int, path: str) -> bool:
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=2).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def wait_for_port(stage: Stage, name: str, process: subprocess.Popen[bytes], port: int) -> None:
    wait_for(stage, name, process, lambda: not is_free(port))


def wait_for_answer(
    stage: Stage, name: str, process: subprocess.Popen[bytes], port: int, path: str = "/"
) -> None:
    wait_for(stage, name, process, lambda: answers(port, path))


def wait_for(stage: Stage, name: str, process: subprocess.Popen[bytes], is_ready: Callable[[], bool]) -> None:
    ready = wait_until(lambda: is_ready() or process.poll() is not None, START_SECONDS)
    if not ready or process.poll() is not None:
        raise ChildFailedError(f"{name} did not start: {stage.last_words(name)}")


def amani_environment(stage: Stage, name: str, database_url: str, **changes: str) -> dict[str, str]:
    """Production settings, whatever the developer's own are."""
    keep = {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ}
    return keep | {
        "AMANI_IGNORE_ENV_FILES": "1",
        "DEBUG": "false",
        "ENVIRONMENT": "benchmark",
        "SECRET_KEY": secrets.token_urlsafe(40),
        "ENCRYPTION_KEYS": urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "KYC_SEARCH_KEY": secrets.token_urlsafe(32),
        "ALLOWED_HOSTS": "127.0.0.1",
        "DATABASE_URL": database_url,
        "REDIS_URL": stage.valkey.url,
        "ALERT_WEBHOOK_TOKEN": TOKEN,
        "PROMETHEUS_MULTIPROC_DIR": str(stage.folder / f"metrics-{name}"),
        **changes,
    }


def start_amani(stage: Stage, name: str, environment: dict[str, str]) -> Server:
    python = sys.executable
    migrate = subprocess.run(
        [python, "manage.py", "migrate", "--verbosity=0"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if migrate.returncode != 0:
        raise ChildFailedError(f"Amani's migrations failed: {migrate.stderr[-1500:]}")
    port = find_free_port()
    command = [python, "-m", "gunicorn", "-c", "deploy/gunicorn.conf.py", *GUNICORN]
    process = stage.start(name, [*command, f"--bind=127.0.0.1:{port}", "--max-requests=0"], environment)
    wait_for_answer(stage, name, process, port, "/api/v1/ping")
    tables = ("observability_receipt", "observability_episode", "observability_delivery")
    target = Target(port, "/api/v1/alerts/webhook", TOKEN)
    return Server(name, target, process, environment["DATABASE_URL"], tables)


def start_limit(stage: Stage, name: str, database_url: str, *, notifies: bool = False) -> Server:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(SCHEMA)
    port = find_free_port()
    environment = stage.plain_environment(DATABASE_URL=database_url)
    command = [sys.executable, "-m", "gunicorn", "benchmarks.limit.project:application", *GUNICORN]
    process = stage.start(name, [*command, f"--bind=127.0.0.1:{port}"], environment)
    wait_for_answer(stage, name, process, port)
    target = Target(port, "/webhook/notify" if notifies else "/webhook")
    return Server(name, target, process, database_url, TABLES)
