"""Gives a test run its own PostgreSQL and Valkey, unless DATABASE_URL or REDIS_URL say which to use.

Loaded by `-p local.pytest_plugin` (pyproject.toml), because settings are read before any conftest.py.
Each run has its own folder below .run/test, so that several runs in one checkout don't meet; folders that a
killed run left behind are removed by the next run.
"""

import fcntl
import os
import secrets
import shutil
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import IO

import pytest

from local.ports import find_free_port
from local.services import PrivatePostgres, PrivateService, PrivateValkey

TEST_FOLDER = Path(__file__).resolve().parent.parent / ".run" / "test"

started: list[PrivateService] = []
locks: list[IO[str]] = []


def lock(folder: Path) -> IO[str] | None:
    """The lock of a run's folder, or None while its run is alive."""
    handle = (folder / "lock").open("w")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        handle.close()
        return None
    return handle


def remove_leftovers() -> None:
    for folder in TEST_FOLDER.glob("run-*"):
        held = lock(folder)
        if held is None:
            continue
        held.close()
        location = folder / "postgres" / "location"
        if location.exists():
            shutil.rmtree(location.read_text().strip(), ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)


def make_run_folder() -> Path:
    TEST_FOLDER.mkdir(parents=True, exist_ok=True)
    remove_leftovers()
    folder = Path(tempfile.mkdtemp(prefix="run-", dir=TEST_FOLDER))
    folder.chmod(0o755)  # PostgreSQL may run as another user; its data folder below is closed
    held = lock(folder)
    if held is not None:
        locks.append(held)
    return folder


def provide(variable: str, service: PrivateService) -> None:
    service.start()
    started.append(service)
    os.environ[variable] = service.url


def provide_settings() -> None:
    """Development settings, whatever the developer's .env or a running `make run` say."""
    os.environ["AMANI_IGNORE_ENV_FILES"] = "1"
    os.environ["DEBUG"] = "true"  # Django's test runner turns settings.DEBUG itself off again
    os.environ["ENVIRONMENT"] = "test"
    os.environ.setdefault("SECRET_KEY", secrets.token_urlsafe(40))
    os.environ.setdefault("ALERT_WEBHOOK_TOKEN", secrets.token_urlsafe(24))


def provide_services() -> None:
    if os.environ.get("DATABASE_URL") and os.environ.get("REDIS_URL"):
        return
    folder = make_run_folder()
    if not os.environ.get("DATABASE_URL"):
        provide("DATABASE_URL", PrivatePostgres(folder / "postgres", find_free_port(), durable=False))
    if not os.environ.get("REDIS_URL"):
        provide("REDIS_URL", PrivateValkey(folder / "valkey", find_free_port()))


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests() -> Generator[None]:
    """A wrapper, because pytest-django reads the settings in this very hook."""
    provide_settings()
    provide_services()
    return (yield)


def pytest_unconfigure() -> None:
    while started:
        started.pop().remove()
    while locks:
        handle = locks.pop()
        shutil.rmtree(Path(handle.name).parent, ignore_errors=True)
        handle.close()
