"""The compose stack, started once. `make stack-test` runs these tests, `make test` doesn't."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.compose.stack import Stack

if "AMANI_STACK_TEST" not in os.environ:
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    stack = Stack()
    stack.refuse_to_disturb_another()
    stack.compose("build", "app")
    stack.start()
    yield stack
    stack.compose("--profile", "*", "down", "--volumes")
