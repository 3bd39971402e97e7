"""`make run` in a copy of the checkout: starts, restarts who dies, stops without leaving a process behind."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from dotenv import dotenv_values

from local.ports import find_free_port
from observability.tests.waiting import ANSWER_SECONDS, COMMAND_SECONDS, PATIENCE_SECONDS, wait_until

pytestmark = pytest.mark.processes

ROOT = Path(__file__).resolve().parent.parent
NOT_COPIED = shutil.ignore_patterns(".git", ".venv*", ".run", ".env", ".*_cache", "staticfiles", "docs")
LINUX_ONLY = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="only Linux has a parent-death signal"
)


@dataclass
class Checkout:
    folder: Path
    variables: dict[str, str]
    launcher: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.variables['PORT']}"

    def environment(self) -> dict[str, str]:
        """A bare machine's: nothing of this test run's services and settings."""
        return {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ} | self.variables

    def launch(self) -> subprocess.Popen[str]:
        with (self.folder / "output").open("w") as output:
            return subprocess.Popen(
                [sys.executable, "-m", "local.run"],
                cwd=self.folder,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )

    def run_to_its_end(self, **changes: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", "local.run"],
            cwd=self.folder,
            env=self.environment() | changes,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    def start(self) -> subprocess.Popen[str]:
        """The launcher that runs already, or a new one once its table of addresses is there."""
        if self.launcher is not None and self.launcher.poll() is None:
            return self.launcher
        self.launcher = launcher = self.launch()
        wait_until(lambda: launcher.poll() is not None or "Amani is ready" in self.output())
        assert launcher.poll() is None, self.output()
        assert "Amani is ready" in self.output(), self.output()
        return launcher

    def stop(self) -> int:
        """The exit status of the launcher after SIGTERM."""
        if self.launcher is None:
            return 0
        self.launcher.terminate()
        return self.launcher.wait(timeout=PATIENCE_SECONDS)

    def owner_url(self) -> str:
        """Of the database, for migrations; the processes connect with another role."""
        return (self.folder / ".run" / "owner_url").read_text()

    def output(self) -> str:
        return (self.folder / "output").read_text()

    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/api/v1/readiness", timeout=ANSWER_SECONDS) as answer:  # noqa: S310
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def process(self, launcher: subprocess.Popen[str], words: str) -> int | None:
        """The child of the launcher whose command line has these words."""
        for pid, parent, arguments in processes():
            if parent == launcher.pid and words in arguments:
                return pid
        return None

    def left_over(self) -> list[str]:
        """Command lines of processes that belong to this checkout, whatever their parent is now."""
        marks = (str(self.folder), f"127.0.0.1:{self.variables['PORT']}")
        return [line for _, _, line in processes() if any(mark in line for mark in marks)]


def processes() -> list[tuple[int, int, str]]:
    listing = subprocess.run(
        ["ps", "-axwwo", "pid=,ppid=,args="], capture_output=True, text=True, check=True
    ).stdout
    rows = [line.split(None, 2) for line in listing.splitlines()]
    return [(int(row[0]), int(row[1]), row[2]) for row in rows if len(row) == 3 and "<defunct>" not in row[2]]


def descendants(pid: int) -> set[int]:
    everybody = processes()
    found = {pid}
    while more := {child for child, parent, _ in everybody if parent in found} - found:
        found |= more
    return found - {pid}


def are_gone(pids: set[int]) -> Callable[[], bool]:
    return lambda: pids.isdisjoint({pid for pid, _, _ in processes()})


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Generator[Checkout]:
    folder = tmp_path_factory.mktemp("checkout") / "amani"
    shutil.copytree(ROOT, folder, ignore=NOT_COPIED, symlinks=True)
    names = ("PORT", "PROMETHEUS_PORT", "ALERTMANAGER_PORT", "INBOX_PORT", "BANK_PORT")
    checkout = Checkout(folder, {name: str(find_free_port()) for name in names})
    yield checkout
    checkout.stop()
    subprocess.run([sys.executable, "local/clean.py"], cwd=folder, check=True)


@pytest.fixture
def running(checkout: Checkout) -> subprocess.Popen[str]:
    """Shared by the tests that leave it alone, which come first; started anew after those that don't."""
    return checkout.start()


def test_the_start_ends_with_the_addresses_and_the_demo_login(
    checkout: Checkout, running: subprocess.Popen[str]
) -> None:
    assert checkout.is_ready()
    output = checkout.output()
    public = f"http://localhost:{checkout.variables['PORT']}"
    for address in (f"{public}/", f"{public}/admin/", f"{public}/api/v1/health", f"{public}/metrics"):
        assert f" {address}\n" in output
    assert (
        f" http://localhost:{checkout.variables['INBOX_PORT']}/  stands in for Slack and PagerDuty: "
        in output
    )
    password = (checkout.folder / ".run" / "secrets" / "demo_password").read_text()
    assert f"demo@amani.local  {password}\n" in output


def test_a_newcomer_sees_in_the_inbox_what_slack_and_pagerduty_would_get(
    checkout: Checkout, running: subprocess.Popen[str]
) -> None:
    command = [sys.executable, "manage.py", "send_test_alert", "--wait"]
    done = subprocess.run(
        command, cwd=checkout.folder, env=checkout.environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    address = f"http://127.0.0.1:{checkout.variables['INBOX_PORT']}/"
    with urllib.request.urlopen(address, timeout=ANSWER_SECONDS) as answer:
        page = answer.read().decode()
    channels = re.findall(r'class="mark channel"[^>]*>(\w+)<', page)
    assert sorted(channels) == ["PagerDuty", "Slack"]
    titles = re.findall("<h2>(.*)</h2>", page)
    assert ["TEST" in title for title in titles] == [True, True]


def test_a_second_start_in_one_checkout_is_refused(
    checkout: Checkout, running: subprocess.Popen[str]
) -> None:
    code, output = checkout.run_to_its_end()
    assert code == 1
    assert output == f"Amani runs from this checkout already (process {running.pid}).\n"
    assert checkout.is_ready()


def test_its_files_with_secrets_are_for_their_owner_only(
    checkout: Checkout, running: subprocess.Popen[str]
) -> None:
    run = checkout.folder / ".run"
    secret_files = [
        run / "env",
        run / "owner_url",
        *(run / "secrets").iterdir(),
        run / "valkey" / "valkey.conf",
    ]
    secret_files += (run / "alertmanager").glob("secrets/*")
    assert {file.name: oct(file.stat().st_mode & 0o777) for file in secret_files} == {
        file.name: "0o600" for file in secret_files
    }


def test_the_second_start_keeps_the_data_and_the_secrets(
    checkout: Checkout, running: subprocess.Popen[str]
) -> None:
    before = dotenv_values(checkout.folder / ".run" / "env")
    assert (before["DATABASE_URL"] or "").startswith("postgresql://amani_app:")
    with psycopg.connect(checkout.owner_url()) as connection:
        connection.execute("CREATE TABLE kept (number integer)")
        connection.execute("INSERT INTO kept VALUES (42)")
    assert checkout.stop() == 0

    checkout.start()
    after = dotenv_values(checkout.folder / ".run" / "env")
    with psycopg.connect(checkout.owner_url()) as connection:
        assert connection.execute("SELECT number FROM kept").fetchall() == [(42,)]
        connection.execute("DROP TABLE kept")

    assert after["SECRET_KEY"] == before["SECRET_KEY"]
    assert after["ALERT_WEBHOOK_TOKEN"] == before["ALERT_WEBHOOK_TOKEN"]


def test_whoever_is_killed_is_started_again(checkout: Checkout, running: subprocess.Popen[str]) -> None:
    said = "was killed by SIGKILL; starting it again"
    said_before = checkout.output().count(said)
    programs = (
        "gunicorn",
        "celery --quiet -A amani worker",
        "beat",
        "local.inbox",
        "local.bank",
        "valkey-server",
        "postgres -D",
    )
    for words in programs:
        victim = checkout.process(running, words)
        assert victim is not None, words
        os.kill(victim, signal.SIGKILL)

        def is_replaced(words: str = words, victim: int = victim) -> bool:
            return checkout.process(running, words) not in {None, victim}

        assert wait_until(is_replaced), f"{words}: {checkout.output()}"
    assert wait_until(checkout.is_ready), checkout.output()
    assert checkout.output().count(said) == said_before + len(programs)


def test_sigterm_stops_everything_and_leaves_no_process(
    checkout: Checkout, running: subprocess.Popen[str]
) -> None:
    children = descendants(running.pid)
    assert len(children) >= 6  # PostgreSQL, Valkey, gunicorn with two workers, Celery's worker, beat

    assert checkout.stop() == 0

    assert are_gone(children)()
    assert checkout.left_over() == []
    assert not [name for name in ("env", "owner_url") if (checkout.folder / ".run" / name).exists()]
    assert "Stopped." in checkout.output()


@LINUX_ONLY
def test_kill_9_of_the_launcher_leaves_no_process(checkout: Checkout, running: subprocess.Popen[str]) -> None:
    children = descendants(running.pid)
    running.kill()
    running.wait(timeout=PATIENCE_SECONDS)
    assert wait_until(are_gone(children)), [line for pid, _, line in processes() if pid in children]
    assert checkout.left_over() == []


@contextmanager
def taken_port() -> Generator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize("variable", ["PORT", "INBOX_PORT"])
def test_a_taken_port_is_named_before_anything_starts(checkout: Checkout, variable: str) -> None:
    checkout.stop()
    with taken_port() as port:
        code, output = checkout.run_to_its_end(**{variable: str(port)})
    assert code == 1
    assert f"Port {port} is taken." in output
    assert f"make run {variable}=" in output
    assert "systemctl" not in output
    assert checkout.left_over() == []
