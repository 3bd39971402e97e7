"""Services for one test run or one command; they and their files are gone afterwards.

Each run has its own folder below .run/test, so that several runs in one checkout don't meet; folders that a
killed run left behind are removed by the next run.
"""

import fcntl
import os
import secrets
import shutil
import tempfile
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from local.ports import find_free_port
from local.services import PrivatePostgres, PrivateService, PrivateValkey

TEST_FOLDER = Path(__file__).resolve().parent.parent / ".run" / "test"


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
        if held is not None:
            remove_run_folder(folder)
            held.close()


def remove_run_folder(folder: Path) -> None:
    location = folder / "postgres" / "location"
    if location.exists():
        shutil.rmtree(location.read_text().strip(), ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def run_folder() -> Generator[Path]:
    TEST_FOLDER.mkdir(parents=True, exist_ok=True)
    with global_lock():
        remove_leftovers()
        folder = Path(tempfile.mkdtemp(prefix="run-", dir=TEST_FOLDER))
        held = lock(folder)
    folder.chmod(0o755)  # PostgreSQL may run as another user; its data folder below is closed
    try:
        yield folder
    finally:
        remove_run_folder(folder)
        if held is not None:
            held.close()


@contextmanager
def global_lock() -> Generator[None]:
    """Holds a lock while a folder is made and locked, so that no other run takes it for a leftover."""
    with (TEST_FOLDER / "lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def provide_settings() -> None:
    """Development settings, whatever the developer's .env or a running `make run` say."""
    os.environ["AMANI_IGNORE_ENV_FILES"] = "1"
    os.environ["DEBUG"] = "true"  # Django's test runner turns settings.DEBUG itself off again
    os.environ["ENVIRONMENT"] = "test"
    os.environ.setdefault("SECRET_KEY", secrets.token_urlsafe(40))
    os.environ.setdefault("ALERT_WEBHOOK_TOKEN", secrets.token_urlsafe(24))
    # A test run is one address with more requests than a client may send.
    for limit in (
        "REQUESTS_PER_MINUTE_PER_USER",
        "UPLOADS_PER_MINUTE_PER_USER",
        "REQUESTS_PER_MINUTE_PER_ADDRESS",
    ):
        os.environ[f"API_{limit}"] = "0"


@contextmanager
def running(variable: str, service: PrivateService) -> Generator[None]:
    try:
        service.start()
        os.environ[variable] = service.url
        yield
    finally:
        service.remove()


def name_application(postgres: PrivatePostgres) -> None:
    """DATABASE_URL is the owner's, who makes the databases of tests; `migrate` lets this role use them."""
    application = postgres.settings()
    os.environ["APPLICATION_DATABASE_URL"] = application["DATABASE_URL"]
    os.environ["DATABASE_APPLICATION_ROLE"] = application["DATABASE_APPLICATION_ROLE"]


@contextmanager
def temporary_services() -> Generator[None]:
    """DATABASE_URL and REDIS_URL name services that answer; those already set are left alone."""
    provide_settings()
    with ExitStack() as stack:
        folder = stack.enter_context(run_folder())
        os.environ["KYC_STORAGE_ROOT"] = str(folder / "kyc")
        if not os.environ.get("DATABASE_URL"):
            postgres = PrivatePostgres(folder / "postgres", find_free_port(), durable=False)
            stack.enter_context(running("DATABASE_URL", postgres))
            name_application(postgres)
        if not os.environ.get("REDIS_URL"):
            stack.enter_context(running("REDIS_URL", PrivateValkey(folder / "valkey", find_free_port())))
        yield
