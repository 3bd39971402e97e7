"""The peers, in an environment of their own: `.venv-bench`, from requirements-peer.txt."""

import os
import subprocess
from pathlib import Path

from benchmarks.load import Target
from benchmarks.servers import GUNICORN, Server, Stage, wait_for_answer
from local.environments import Environment
from local.ports import find_free_port
from local.processes import ChildFailedError

FOLDER = Path(__file__).resolve().parent
ENVIRONMENT = Environment(".venv-bench", FOLDER / "requirements-peer.txt")
TABLES = ("alerts",)


def install() -> str:
    """Why the peers cannot run; empty when they can."""
    return ENVIRONMENT.install()


def python() -> str:
    return ENVIRONMENT.python


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
