"""`make run`: starts Amani and all it needs, keeps it running, stops it without leaving anything behind.

Order of start: PostgreSQL, Valkey, the sandbox bank (unless a real payment provider is set up), migrations
and demo data, the inbox (where neither Slack nor PagerDuty is set up), Jaeger (where it is installed), web,
worker, beat, Prometheus, Alertmanager.
A child that dies is started again. Ctrl-C, SIGTERM or a closed terminal stop everything, the database last;
a second Ctrl-C kills. On Linux the children also end when this process is killed with -9 (local/guard.py).
"""

import fcntl
import os
import shutil
import signal
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from local import jaeger, monitoring, ports
from local.children import Program
from local.configuration import (
    DEMO_LOGIN,
    ROOT,
    RUN,
    Configuration,
    ConfigurationError,
    demo_password,
    forget_env_file,
    write_env_file,
)
from local.output import Terminal
from local.processes import ChildFailedError
from local.services import PrivatePostgres, PrivateService, PrivateValkey
from local.supervisor import Supervisor

LOOK_SECONDS = 0.1
READY_SECONDS = 60.0
NO_NEWS = (
    "You're running the worker with superuser privileges",  # Celery; root may try Amani
    "No directory at",  # WhiteNoise; in development nothing is collected
)
SERVICES: tuple[tuple[str, str, type[PrivateService]], ...] = (
    ("DATABASE_URL", "postgres", PrivatePostgres),
    ("REDIS_URL", "valkey", PrivateValkey),
)


class StartFailedError(RuntimeError):
    """Amani can't start; the message says why and what to do."""


class StopRequestedError(Exception):
    """A signal asked us to stop."""


class Launcher:
    def __init__(self, configuration: Configuration) -> None:
        self.configuration = configuration
        self.terminal = Terminal()
        self.supervisor = Supervisor(RUN / "log", self.say, self.terminal)
        self.stop_requested_at: float | None = None
        self.jaeger = jaeger.find()
        self.owner_url: str | None = None  # of the private PostgreSQL, for migrations

    def say(self, line: str = "") -> None:
        self.terminal.say("amani", line)

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        """Only takes note: work in a signal handler could interrupt a start half-way."""
        now = time.monotonic()
        if self.stop_requested_at is None:
            self.stop_requested_at = now
        # make may hand on a signal that reached us already, so a second one counts only a little later.
        elif number == signal.SIGINT and now - self.stop_requested_at > 1:
            self.supervisor.kill_all()
            os._exit(130)

    def pause(self) -> None:
        time.sleep(LOOK_SECONDS)
        if self.stop_requested_at is not None:
            raise StopRequestedError

    # --- start ---

    def start(self) -> None:
        started = time.monotonic()
        self.check_ports()
        environment = self.write_environment(self.start_services())
        self.start_bank(environment)
        self.prepare_database(environment)
        self.start_inbox(environment)
        self.start_jaeger()
        self.start_application(environment)
        self.start_monitoring(environment)
        self.wait_until_ready()
        self.show_addresses(time.monotonic() - started)

    def check_ports(self) -> None:
        wanted = [("PORT", self.configuration.port, self.configuration.host)]
        if monitoring.find_program("prometheus"):
            wanted.append(("PROMETHEUS_PORT", self.configuration.prometheus_port, ports.LOOPBACK))
        if monitoring.find_program("alertmanager"):
            wanted.append(("ALERTMANAGER_PORT", self.configuration.alertmanager_port, ports.LOOPBACK))
        if self.configuration.has_inbox:
            wanted.append(("INBOX_PORT", self.configuration.inbox_port, ports.LOOPBACK))
        if self.configuration.has_bank:
            wanted.append(("BANK_PORT", self.configuration.bank_port, ports.LOOPBACK))
        for variable, port, host in wanted:
            if not ports.is_free(port, host):
                raise StartFailedError(taken_message(variable, port))

    def start_services(self) -> dict[str, str]:
        """Start what the developer's settings leave open; the settings that name it."""
        settings: dict[str, str] = {}
        for variable, folder, kind in SERVICES:
            if self.configuration.is_given(variable):
                self.say(f"{variable} is set, so there is no private {kind.name}.")
                continue
            output = self.supervisor.open_log(folder, shown=False)
            service = kind(RUN / folder, ports.find_free_port(), output=output)
            self.supervisor.add_service(service)
            settings |= service.settings()
            if isinstance(service, PrivatePostgres):
                self.owner_url = service.url
        return settings

    def write_environment(self, services: dict[str, str]) -> dict[str, str]:
        found = monitoring.settings() | (jaeger.SETTINGS if self.jaeger else {})
        values = self.configuration.defaults(services | found)
        write_env_file(values, self.owner_url)
        empty_metrics_folder(values.get("PROMETHEUS_MULTIPROC_DIR"))
        return {**self.configuration.given, **values}

    def prepare_database(self, environment: dict[str, str]) -> None:
        if self.owner_url:
            environment = environment | {
                "DATABASE_URL": self.owner_url,
                "APPLICATION_DATABASE_URL": environment["DATABASE_URL"],
            }
        step = self.program("prepare", [sys.executable, "-m", "local.prepare"], environment, ROOT)
        step.start()
        try:
            while step.is_running:
                self.pause()
        finally:
            step.stop()
        if step.process is None or step.process.returncode != 0:
            raise StartFailedError("The database could not be prepared; the lines above say why.")

    def program(self, name: str, command: list[str], environment: dict[str, str], folder: Path) -> Program:
        output = self.supervisor.open_log(name)
        return Program(name, command, output=output, environment=environment, folder=folder)

    def start_bank(self, environment: dict[str, str]) -> None:
        """Before the demo data, whose escrows are funded through it."""
        if self.configuration.has_bank:
            command = [
                sys.executable,
                "-m",
                "local.bank",
                str(self.configuration.bank_port),
                str(RUN / "bank.json"),
            ]
            self.supervisor.add_program(self.program("bank", command, environment, ROOT))

    def start_inbox(self, environment: dict[str, str]) -> None:
        if self.configuration.has_inbox:
            command = [sys.executable, "-m", "local.inbox", str(self.configuration.inbox_port)]
            self.supervisor.add_program(self.program("inbox", command, environment, ROOT))

    def start_jaeger(self) -> None:
        if self.jaeger:
            command = jaeger.command(self.jaeger)
            self.supervisor.add_program(self.program("jaeger", command, monitoring.environment(), ROOT))

    def start_application(self, environment: dict[str, str]) -> None:
        address = f"{self.configuration.host}:{self.configuration.port}"
        schedule = str(RUN / "celerybeat-schedule")
        python = [sys.executable, *(part for advice in NO_NEWS for part in ("-W", f"ignore:{advice}")), "-m"]
        celery = [*python, "celery", "--quiet", "-A", "amani"]
        commands = {
            "web": [*python, "gunicorn", "-c", "deploy/gunicorn.conf.py", "-b", address, "amani.wsgi"],
            "worker": [*celery, "worker"],
            "beat": [*celery, "beat", "--schedule", schedule],
        }
        for name, command in commands.items():
            self.supervisor.add_program(self.program(name, command, environment, ROOT))

    def start_monitoring(self, environment: dict[str, str]) -> None:
        def value_of(variable: str) -> str:
            return environment.get(variable) or self.configuration.value(variable)

        for name in monitoring.PROGRAMS:
            path = monitoring.find_program(name)
            if path is None:
                self.say(monitoring.how_to_get(name))
                continue
            folder = monitoring.render(name, self.configuration, value_of("PAGERDUTY_EVENTS_URL"))
            monitoring.write_secrets(folder, value_of)
            command = monitoring.command(name, path, folder, self.configuration)
            self.supervisor.add_program(self.program(name, command, monitoring.environment(), folder))

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not is_ready(self.configuration.local_url):
            if time.monotonic() > deadline:
                raise StartFailedError(
                    f"Amani was not ready after {READY_SECONDS:.0f} s: see .run/log/web.log."
                )
            self.pause()
            self.supervisor.look_after()

    def show_addresses(self, seconds: float) -> None:
        self.say(f"Amani is ready after {seconds:.1f} s. Ctrl-C stops it.")
        self.say()
        for name, address in self.addresses().items():
            self.say(f"  {name:<13} {address}")
        self.say()

    def addresses(self) -> dict[str, str]:
        url = self.configuration.public_url
        shown = {
            "application": f"{url}/",
            "admin": f"{url}/admin/",
            "health": f"{url}/api/v1/health",
            "metrics": f"{url}/metrics",
        }
        for name in monitoring.PROGRAMS:
            running = monitoring.find_program(name) is not None
            shown[name] = monitoring.address(name, self.configuration) if running else "not running"
        if self.jaeger:
            shown["jaeger"] = jaeger.PAGE
        if self.configuration.is_development:
            shown["inbox"] = inbox_address(self.configuration)
        if self.configuration.has_bank:
            shown["bank"] = f"http://localhost:{self.configuration.bank_port}/  a sandbox: you play the bank"
        shown["logs"] = ".run/log/"
        if self.configuration.is_development:
            shown["demo login"] = f"{DEMO_LOGIN}  {demo_password()}"
            shown["read only"] = f"viewer-{DEMO_LOGIN}, same password"
            shown["kyc review"] = f"kyc-{DEMO_LOGIN}, same password; also finance-…, approver-…"
        return shown

    # --- run ---

    def watch(self) -> None:
        while True:
            self.pause()
            self.supervisor.look_after()

    def run(self) -> int:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self.on_signal)
        try:
            self.start()
            self.watch()
        except StopRequestedError:
            self.say("Stopping.")
        except (StartFailedError, ChildFailedError) as failure:
            self.say(str(failure))
            return 1
        finally:
            self.supervisor.stop_all()
            forget_env_file()
        self.say("Stopped.")
        return 0


def taken_message(variable: str, port: int) -> str:
    message = (
        f"Port {port} is taken. Stop the program that listens there, or choose another port: "
        f"make run {variable}={ports.find_free_port()}"
    )
    package = monitoring.DEBIAN_PACKAGES.get(variable.removesuffix("_PORT").lower())
    if package is None:
        return message
    return f"{message} (Debian's package starts a server of its own: systemctl disable --now {package})"


def inbox_address(configuration: Configuration) -> str:
    if not configuration.has_inbox:
        return f"not needed: {configuration.channel_given} is set"
    stands_in = "stands in for Slack and PagerDuty: SLACK_WEBHOOK_URL and PAGERDUTY_API_KEY set the real ones"
    return f"http://localhost:{configuration.inbox_port}/  {stands_in}"


def empty_metrics_folder(path: str | None) -> None:
    """Our own folder only (None: the developer chose one). Old files would count for processes long gone."""
    if path is not None:
        shutil.rmtree(path, ignore_errors=True)
        Path(path).mkdir(parents=True)


def is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/api/v1/readiness", timeout=2) as answer:  # noqa: S310 - our own address
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


@contextmanager
def only_one() -> Generator[None]:
    RUN.mkdir(exist_ok=True)
    with (RUN / "lock").open("a+") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            handle.seek(0)
            other = handle.read().strip()
            raise StartFailedError(f"Amani runs from this checkout already (process {other}).") from None
        handle.truncate(0)
        handle.write(str(os.getpid()))
        handle.flush()
        yield


def main() -> int:
    try:
        with only_one():
            return Launcher(Configuration.read()).run()
    except (StartFailedError, ConfigurationError) as failure:
        print(failure, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
