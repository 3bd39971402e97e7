"""Fixtures for every test: services that a test may kill, free ports, programs that may be missing.

The PostgreSQL and Valkey that the whole run uses are started by local/pytest_plugin.py.
"""

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest
from django.db import connection
from hypothesis import HealthCheck, settings
from pytest_django import DjangoDbBlocker
from schemathesis.pytest.plugin import SchemathesisFunction

from core.request_id import request_id
from local import migrated
from local.flushing import quick_flushes
from local.ports import find_free_port
from local.services import PrivatePostgres, PrivateService, PrivateValkey

# How long an example takes says how busy the machine is.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

# Debian calls it prometheus-alertmanager.
OTHER_NAMES = {
    "alertmanager": ("prometheus-alertmanager",),
    "chromium": ("chromium-browser", "google-chrome"),
}


def find_binary(name: str) -> str | None:
    for candidate in (name, *OTHER_NAMES.get(name, ())):
        path = shutil.which(candidate)
        if path is not None:
            return path
    return None


def missing_binaries(item: pytest.Item) -> list[str]:
    names = [name for marker in item.iter_markers("needs") for name in marker.args]
    return sorted({name for name in names if find_binary(name) is None})


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    name_operations(items)
    twice = [name for name, number in Counter(item.nodeid for item in items).items() if number > 1]
    if twice:
        raise pytest.UsageError(f"Give each test its own id; of these a worker would run one: {twice}")


def name_operations(items: list[pytest.Item]) -> None:
    """Schemathesis names its tests, but since pytest 9.2 their ids come without the operation."""
    for item in items:
        if isinstance(item, SchemathesisFunction) and item.id.params is None:
            item._id = item.id.with_params(item.operation_label)  # noqa: SLF001  (there is no public way)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    missing = missing_binaries(item)
    if not missing:
        return
    verb = "is" if len(missing) == 1 else "are"
    reason = f"{', '.join(missing)} {verb} not on the PATH (on Debian, .ci/run installs what the tests need)"
    if os.environ.get("CI"):
        pytest.fail(f"{reason}; under CI this test may not be skipped", pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def django_db_keepdb(
    django_db_keepdb: bool,  # noqa: FBT001  (pytest gives it by name)
    django_db_modify_db_settings: None,
    django_db_blocker: DjangoDbBlocker,
) -> bool:
    """Of several workers each copies a database that has all migrations, so it must not be made anew."""
    with django_db_blocker.unblock():
        return django_db_keepdb or migrated.copy(connection.settings_dict["TEST"]["NAME"])


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Generator[None]:
    with ExitStack() as stack:
        with django_db_blocker.unblock():
            stack.enter_context(quick_flushes())
        yield


@pytest.fixture(scope="session")
def application_url(django_db_setup: None) -> str:
    """The address of the test database for the role of the application; the tests themselves own it."""
    given = os.environ.get("APPLICATION_DATABASE_URL")
    if given is None:
        pytest.skip("DATABASE_URL is given without an APPLICATION_DATABASE_URL")
    return urlunsplit(urlsplit(given)._replace(path=f"/{connection.settings_dict['NAME']}"))


@pytest.fixture(autouse=True)
def outside_of_a_request() -> None:
    """Whatever an earlier test left in this thread."""
    request_id.set("")


@pytest.fixture
def binary() -> Callable[[str], str]:
    """The path of a program by its upstream name. Mark the test with `needs` as well."""

    def find(name: str) -> str:
        path = find_binary(name)
        assert path is not None, f"{name} is missing: mark the test with needs({name!r})"
        return path

    return find


@pytest.fixture
def free_port() -> Callable[[], int]:
    """`free_port()` is a port of 127.0.0.1 that no process listens on; each call gives another."""
    return find_free_port


@pytest.fixture
def service_folder() -> Generator[Path]:
    """A new folder that PostgreSQL can reach also when the tests run as root."""
    folder = Path(tempfile.mkdtemp(prefix="amani-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def private_postgres(service_folder: Path) -> Generator[Callable[[], PrivatePostgres]]:
    """`private_postgres()` is a second PostgreSQL that the test may kill; each call starts another."""
    servers: list[PrivatePostgres] = []

    def start() -> PrivatePostgres:
        folder = service_folder / f"postgres-{len(servers)}"
        servers.append(PrivatePostgres(folder, find_free_port(), durable=False))
        servers[-1].start()
        return servers[-1]

    yield start
    remove_all(servers)


@pytest.fixture
def private_valkey(service_folder: Path) -> Generator[Callable[[], PrivateValkey]]:
    """`private_valkey()` is a second Valkey that the test may kill; each call starts another."""
    servers: list[PrivateValkey] = []

    def start() -> PrivateValkey:
        servers.append(PrivateValkey(service_folder / f"valkey-{len(servers)}", find_free_port()))
        servers[-1].start()
        return servers[-1]

    yield start
    remove_all(servers)


@pytest.fixture
def redis_url(private_valkey: Callable[[], PrivateValkey]) -> str:
    """The address of a fresh, empty Valkey. To kill it, take `private_valkey` instead."""
    return private_valkey().url


def remove_all(servers: list[PrivatePostgres] | list[PrivateValkey]) -> None:
    server: PrivateService
    for server in servers:
        server.remove()
