"""Runs the quick tests first in a run of mutants; local/mutants.py loads it as a plugin of pytest.

The first test that fails ends the run of a mutant, and mutmut names the tests in no order.
"""

import json
from pathlib import Path

import pytest


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    measured = Path("mutmut-stats.json")
    if measured.exists():
        seconds: dict[str, float] = json.loads(measured.read_text())["duration_by_test"]
        items.sort(key=lambda item: seconds.get(item.nodeid, 0.0))
