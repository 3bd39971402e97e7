"""Real gunicorn and Celery processes with the sample application, and what one scrape says of them all."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
from kombu import Connection
from prometheus_client.samples import Sample

from observability.telemetry.metrics.exposition import AllProcesses
from observability.telemetry.metrics.slots import live_slots
from observability.tests import waiting
from observability.tests.patient_exit import PATIENT
from observability.tests.samples import scraped
from observability.tests.waiting import ANSWER_SECONDS, PATIENCE_SECONDS

ROOT = Path(__file__).resolve().parents[2]


class Scrape:
    """Reads what one scrape of the folder says."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def __call__(self, name: str, **labels: str) -> float:
        """The sum of the series of `name` that have `labels`."""
        return sum(
            one.value
            for metric in AllProcesses(self.directory, None, has_exemplars=False).collect()
            for one in metric.samples
            if one.name == name and labels.items() <= one.labels.items()
        )

    def files(self) -> int:
        return len(list(self.directory.iterdir()))

    def live(self) -> dict[str, int]:
        return live_slots(self.directory)

    def processes(self, role: str) -> list[int]:
        return [pid for name, pid in self.live().items() if name.startswith(role)]


def wait_until(condition: Callable[[], bool], what: str) -> None:
    assert waiting.wait_until(condition), f"waited in vain until {what}"


@contextmanager
def running(command: list[str], log: Path, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    environment = os.environ | PATIENT | {"DJANGO_SETTINGS_MODULE": "tests.process_settings"} | variables
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output)
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


class Web:
    def __init__(self, port: int, process: subprocess.Popen[bytes]) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.process = process

    def get(self, path: str, **options: Any) -> requests.Response:
        """On a connection of its own, because a recycled worker closes what it holds."""
        return requests.get(
            f"{self.url}{path}", headers={"Connection": "close"}, timeout=ANSWER_SECONDS, **options
        )

    def answers(self, path: str = "/api/v1/ping") -> bool:
        try:
            return self.get(path).status_code == 200
        except requests.ConnectionError:
            return False


@contextmanager
def gunicorn(scrape: Scrape, port: int, **variables: str) -> Iterator[Web]:
    log = scrape.directory.parent / "gunicorn.log"
    command = [sys.executable, "-m", "gunicorn", "-c", "deploy/gunicorn.conf.py"]
    variables |= {"PORT": str(port), "PROMETHEUS_MULTIPROC_DIR": str(scrape.directory)}
    with running(command, log, **variables) as process:
        web = Web(port, process)
        wait_until(web.answers, "gunicorn answers")
        yield web


@contextmanager
def celery(scrape: Scrape, broker: str, *options: str, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    log = scrape.directory.parent / "celery.log"
    command = [sys.executable, "-m", "celery", "-A", "observability.tests.sample_celery", "worker", *options]
    variables |= {"REDIS_URL": broker, "PROMETHEUS_MULTIPROC_DIR": str(scrape.directory)}
    with running(command, log, **variables, C_FORCE_ROOT="1") as process:
        wait_until(lambda: bool(task_samples()), "Celery has started")
        yield process


def is_answered(url: str) -> bool:
    try:
        return requests.get(url, timeout=ANSWER_SECONDS).status_code == 200
    except requests.ConnectionError:
        return False


def task_samples() -> list[Sample]:
    return [one for metric in scraped() for one in metric.samples if one.name == "amani_celery_tasks_total"]


def send(task: Any, broker: Connection, *arguments: str) -> None:
    """Any, because celery-types doesn't know `connection`."""
    task.apply_async(arguments, connection=broker)
