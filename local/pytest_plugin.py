"""Gives a test run its own PostgreSQL and Valkey, unless DATABASE_URL or REDIS_URL say which to use.

Of several workers (`-n`) each has a database of its own in that PostgreSQL, and always a Valkey of its own.

Loaded by `-p local.pytest_plugin` (pyproject.toml), because settings are read before any conftest.py.
"""

import os
import tempfile
from collections.abc import Generator
from contextlib import ExitStack
from pathlib import Path

import pytest

from local import migrated
from local.temporary import temporary_services

services = ExitStack()


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests() -> Generator[None]:
    """A wrapper, because pytest-django reads the settings in this very hook."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        os.environ.pop("REDIS_URL", None)
    services.enter_context(temporary_services())
    return (yield)


def pytest_configure(config: pytest.Config) -> None:
    """Does once what several workers need."""
    if not config.getoption("numprocesses", None):
        return
    if "APPLICATION_DATABASE_URL" in os.environ:  # the PostgreSQL is this run's own
        folder = Path(services.enter_context(tempfile.TemporaryDirectory(prefix="amani-migrated-")))
        process = migrated.begin(folder)
        services.callback(process.wait)
        services.callback(process.terminate)


def pytest_unconfigure() -> None:
    services.close()
