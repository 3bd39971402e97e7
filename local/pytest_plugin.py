"""Gives a test run its own PostgreSQL and Valkey, unless DATABASE_URL or REDIS_URL say which to use.

Of several workers (`-n`) each has a database of its own in that PostgreSQL, and always a Valkey of its own.

They import the same tests at the same time: whatever one of them makes of a file, the others read.

Loaded by `-p local.pytest_plugin` (pyproject.toml), because settings are read before any conftest.py.
"""

import fcntl
import gc
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


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Without the search for garbage, of which imports leave little; what they made stays."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """One worker after the other in each file: the first compiles it, with its asserts, for the others."""
    if not isinstance(collector, pytest.Module) or "PYTEST_XDIST_WORKER" not in os.environ:
        return (yield)
    with collector.path.open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return (yield)


def pytest_unconfigure() -> None:
    services.close()
