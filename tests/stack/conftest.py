"""Fixtures of the stack tests: servers that Amani reports to."""

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stack.bugsink import ENVIRONMENT, Bugsink


@pytest.fixture(scope="session")
def bugsink() -> Iterator[Bugsink]:
    """A Sentry server for the whole run. Take a `new_project()` of it for each test."""
    reason = ENVIRONMENT.install()
    if reason and os.environ.get("CI"):
        pytest.fail(f"Bugsink could not be installed: {reason}", pytrace=False)
    if reason:
        pytest.skip(f"Bugsink could not be installed: {reason}")
    with tempfile.TemporaryDirectory(prefix="amani-bugsink-") as folder:
        with Bugsink(Path(folder), ENVIRONMENT.python) as server:
            yield server
        sys.stdout.write(f"--- bugsink\n{server.log()}\n")
