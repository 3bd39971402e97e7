"""The peers, in an environment of their own: `.venv-bench`, from requirements-peer.txt.

`python -m benchmarks.peer lock` pins requirements-peer.in anew.
"""

import os
import subprocess
import sys
from pathlib import Path

from benchmarks.load import Target
from benchmarks.servers import GUNICORN, ROOT, Server, Stage, wait_for_answer
from local.lock import OPTIONS
from local.ports import find_free_port
from local.processes import ChildFailedError

FOLDER = Path(__file__).resolve().parent
REQUIREMENTS = FOLDER / "requirements-peer.txt"
VENV = ROOT / ".venv-bench"
STAMP = VENV / "amani-requirements"
INSTALL_SECONDS = 300
PIP_OPTIONS = ("--disable-pip-version-check", "--require-hashes")
TABLES = ("alerts",)


def install() -> str:
    """Makes .venv-bench if its requirements changed. "" or why the peers cannot run."""
    if STAMP.exists() and STAMP.read_text() == REQUIREMENTS.read_text():
        return ""
    print("Installing the peers into .venv-bench ...", file=sys.stderr, flush=True)
    commands = [
        [sys.executable, "-m", "venv", "--clear", str(VENV)],
        [python(), "-m", "pip", "install", "--quiet", *PIP_OPTIONS, "-r", str(REQUIREMENTS)],
    ]
    for command in commands:
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, check=False, timeout=INSTALL_SECONDS
            )
        except subprocess.TimeoutExpired:
            return f"not installed within {INSTALL_SECONDS} s"
        if done.returncode != 0:
            return (done.stderr.strip().splitlines() or ["pip failed"])[-1]
    STAMP.write_text(REQUIREMENTS.read_text())
    return ""


def python() -> str:
    return str(VENV / "bin" / "python")


def start_alerta(stage: Stage, database_url: str) -> Server:
    """Alerta as shipped: no authentication, its default plug-ins, a database connection for each request."""
    environment = {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": database_url,
        "SECRET_KEY": "nothing here is signed",
    }
    make_tables(environment)
    port = find_free_port()
    command = [python(), "-m", "gunicorn", "alerta.app:create_app()", *GUNICORN, f"--bind=127.0.0.1:{port}"]
    process = stage.start("alerta", command, environment)
    wait_for_answer(stage, "alerta", process, port)
    return Server("alerta", Target(port, "/webhooks/prometheus"), process, database_url, TABLES)


def make_tables(environment: dict[str, str]) -> None:
    """Once, before the workers: two that start on an empty database both make them, and the server ends."""
    code = "from alerta.app import create_app; create_app()"
    done = subprocess.run(
        [python(), "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise ChildFailedError(f"Alerta could not make its tables: {done.stderr[-600:]}")


def lock() -> int:
    uv = str(Path(sys.executable).with_name("uv"))
    command = [uv, "pip", "compile", "requirements-peer.in", "-o", "requirements-peer.txt", *OPTIONS]
    return subprocess.run(command, cwd=FOLDER, check=False).returncode


if __name__ == "__main__" and sys.argv[1:] == ["lock"]:
    sys.exit(lock())
